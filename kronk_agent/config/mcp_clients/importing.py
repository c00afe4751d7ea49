"""Servers read from the files of other hosts, as entries of ``mcp_servers``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from kronk_agent.config.mcp_clients.foreign_keys import FOREIGN_KEYS, with_our_keys
from kronk_agent.config.mcp_clients.known_clients import (
    HOSTS,
    HostFile,
    OtherHost,
    in_our_words,
    recognised,
)
from kronk_agent.config.schema.mcp_server import MAX_TIMEOUT_SECONDS, McpServerConfig
from kronk_agent.config.validating import validate
from kronk_agent.config.yaml.sourced import Node, Origin, from_python, plain
from kronk_agent.config.yaml.variables import with_variables
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject, JsonValue

_MEANINGLESS = {"dev", "gallery", "icon", "keep_alive", "version"}
"""Keys that say nothing about how the server is run."""


_MAX_WITH_COMMENTS = 50_000


@dataclass(frozen=True, slots=True)
class Found:
    """A server of another host, as we would write it."""

    name: str
    source: HostFile
    entry: JsonObject
    notes: tuple[str, ...] = ()
    """What is not as it was there."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A server of another host that we cannot run as it says."""

    name: str
    source: HostFile
    reason: str


Import: TypeAlias = "Found | Unusable"


def read_host_file(source: HostFile, *, home: Path, working_directory: Path) -> list[Import]:
    """The servers in a file of a known host.

    Raises:
        ConfigError: it cannot be read.
    """
    content = _content(source.path)
    folder = source.project or home
    found = _servers(content, HOSTS[source.host].root, source.path)
    imports = list(_imports(found, source, folder))
    # Claude Code keeps what is for one project alone in the person's own file.
    projects = content.get("projects")
    own = projects.get(str(working_directory)) if isinstance(projects, dict) else None
    if source.host == "claude-code" and isinstance(own, dict):
        here = replace(source, project=working_directory)
        imports += _imports(_servers(own, "mcpServers", source.path), here, working_directory)
    return imports


def read_any_file(path: Path, *, home: Path, working_directory: Path) -> list[Import]:
    """The servers in a file of a host that is found out.

    Raises:
        ConfigError: it cannot be read, or holds no servers.
    """
    content = _content(path)
    source = recognised(path, frozenset(content), home=home)
    if source.host == "other" and "mcpServers" not in content:
        raise ConfigError("has neither mcpServers, servers nor mcp_servers", path=path)
    return read_host_file(source, home=home, working_directory=working_directory)


def _content(path: Path) -> JsonObject:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if path.suffix == ".toml" else _json(text, path)
    except RecursionError:
        raise ConfigError("is nested too deeply", path=path) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        # Not the parser's words, which quote what may be a secret.
        raise ConfigError(f"is not {kind}{_line(error)}", path=path) from None
    if not isinstance(content, dict):
        raise ConfigError("is not a file of an MCP host", path=path)
    return content


def _json(text: str, path: Path) -> object:
    """JSON, also with comments, whose parser takes seconds for a large file.

    Raises:
        ValueError: it is neither.
        ConfigError: it is not JSON, and too large to have comments.
    """
    try:
        return json.loads(text)
    except ValueError:
        if len(text) > _MAX_WITH_COMMENTS:
            words = f"is not JSON, and with more than {_MAX_WITH_COMMENTS:,} characters may not be"
            raise ConfigError(f"{words} JSON with comments: correct it", path=path) from None
    import json5  # slow to import

    return json5.loads(text)


def _line(error: ValueError) -> str:
    found = re.search(r"(?:at line |<string>:)(\d+)", str(error))
    return f": see line {found[1]}" if found else ""


def _servers(content: JsonObject, root: str, path: Path) -> Mapping[str, JsonValue]:
    servers = content.get(root, {})
    if not isinstance(servers, dict):
        raise ConfigError(f"{root} is not a mapping", path=path)
    return servers


def _imports(servers: Mapping[str, JsonValue], source: HostFile, folder: Path) -> Iterator[Import]:
    names: set[str] = set()
    for their_name, block in servers.items():
        name = _our_name(their_name, names)
        names.add(name)
        if not isinstance(block, dict):
            yield Unusable(name, source, "is not a mapping")
            continue
        notes = [] if name == their_name else [f"was called {their_name!r}"]
        yield _import(name, block, source, folder, notes)


def _our_name(name: str, taken: set[str]) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:32].rstrip("-_") or "server"
    number, unique = 2, safe
    while unique in taken:
        unique = f"{safe[:28]}-{number}"
        number += 1
    return unique


def _import(
    name: str, block: JsonObject, source: HostFile, folder: Path, notes: list[str]
) -> Import:
    host = HOSTS[source.host]
    block = dict(block)
    for key in list(block):
        if key in _MEANINGLESS or (key == "sandboxEnabled" and block[key] is False):
            notes.append(f"without {key}, which means nothing here")
            del block[key]
        elif key not in McpServerConfig.model_fields and key not in FOREIGN_KEYS:
            notes.append(f"without {key}, which is not known here")
            del block[key]
    if host.url_is_sse and "url" in block and "httpUrl" not in block:
        block.setdefault("type", "sse")
    _convert_timeout(block, host, notes)
    tree = _ours(name, _texts(block, host, folder))
    tree, mistakes = with_our_keys(tree)
    server = _child(_child(tree, "mcp_servers"), name)
    assert isinstance(server.value, dict)
    if not mistakes:
        mistakes = _mistakes(tree)
    if mistakes:
        reason = "; ".join(_reason(mistake, name) for mistake in mistakes)
        return Unusable(name, source, reason)
    entry = plain(server, None)
    assert isinstance(entry, dict)
    _settle_paths(entry, folder, is_project=source.project is not None)
    in_order = {key: entry[key] for key in McpServerConfig.model_fields if key in entry}
    return Found(name, source, in_order, tuple(notes))


def _convert_timeout(block: JsonObject, host: OtherHost, notes: list[str]) -> None:
    timeout = block.get("timeout")
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        return
    is_milliseconds = host.timeout == "milliseconds" or (
        host.timeout == "either" and timeout >= 1000
    )
    if host.timeout == "milliseconds" and timeout < 1000:
        del block["timeout"]
        notes.append(f"without timeout: {host.title} ignores one below a second")
        return
    seconds = timeout / 1000 if is_milliseconds else timeout
    if seconds > MAX_TIMEOUT_SECONDS:
        seconds = MAX_TIMEOUT_SECONDS
        notes.append(f"timeout is {MAX_TIMEOUT_SECONDS} s, the longest there is")
    block["timeout"] = int(seconds) if seconds == int(seconds) else seconds


def _texts(value: JsonValue, host: OtherHost, folder: Path) -> JsonValue:
    match value:
        case dict():
            return {key: _texts(item, host, folder) for key, item in value.items()}
        case list():
            return [_texts(item, host, folder) for item in value]
        case str():
            return in_our_words(value, host, folder)
        case _:
            return value


def _settle_paths(entry: JsonObject, folder: Path, *, is_project: bool) -> None:
    """Hosts run programs in the project's folder; ours may be started anywhere."""
    for key in ("cwd", "env_file", "command"):
        value = entry.get(key)
        is_path = isinstance(value, str) and (key != "command" or "/" in value)
        if isinstance(value, str) and is_path and not value.startswith(("/", "~", "$")):
            entry[key] = str(folder / value)
    if is_project and "command" in entry:
        entry.setdefault("cwd", str(folder))


# --- checking --------------------------------------------------------------------------------


class _AllSet(dict[str, str]):
    """An environment in which every variable without a default has a value, which is also a URL."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return default and "https://variable.invalid"


def mistakes_in(name: str, entry: JsonObject) -> list[ConfigError]:
    """What is wrong with an entry of ours, whose variables need not be set yet."""
    return _mistakes(_ours(name, entry))


def _mistakes(tree: Node) -> list[ConfigError]:
    tree, mistakes = with_variables(tree, _AllSet())
    return mistakes or validate(tree)[1]


def _ours(name: str, block: JsonValue) -> Node:
    return from_python({"mcp_servers": {name: block}}, Origin(None))


def _child(node: Node, key: str) -> Node:
    assert isinstance(node.value, dict)
    return node.value[key]


def _reason(mistake: ConfigError, name: str) -> str:
    key = (mistake.key or "").removeprefix(f"mcp_servers.{name}").removeprefix(".")
    return f"{key}: {mistake.message}" if key else mistake.message
