"""Imports servers from the files of other hosts, as entries of ``mcp_servers``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from kronk_agent.config.mcp_clients.foreign_keys import FOREIGN_KEYS, translate_keys
from kronk_agent.config.mcp_clients.known_clients import (
    HOSTS,
    HostFile,
    OtherHost,
    recognize_file,
    translate_variables,
)
from kronk_agent.config.schema.mcp_server import MAX_TIMEOUT_SECONDS, McpServerConfig
from kronk_agent.config.validating import validate
from kronk_agent.config.yaml.sourced import Origin, SourcedValue, from_python, plain
from kronk_agent.config.yaml.variables import with_variables
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject, JsonValue

_IGNORED_KEYS = {"dev", "gallery", "icon", "keep_alive", "version"}
"""Keys that do not affect how the server is run."""


_MAX_COMMENTED_JSON_CHARS = 50_000


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server of another host, translated to our schema."""

    name: str
    source: HostFile
    entry: JsonObject
    notes: tuple[str, ...] = ()
    """Differences from the original entry."""


@dataclass(frozen=True, slots=True)
class UnusableServer:
    """A server of another host that cannot be run as configured."""

    name: str
    source: HostFile
    reason: str


ImportedServer: TypeAlias = "FoundServer | UnusableServer"


def read_host_file(
    source: HostFile, *, home: Path, working_directory: Path
) -> list[ImportedServer]:
    """Read the servers in a file of a known host.

    Raises:
        ConfigError: the file cannot be read.
    """
    content = _content(source.path)
    folder = source.project or home
    found = _servers(content, HOSTS[source.host].root, source.path)
    imports = list(_imports(found, source, folder))
    # Claude Code also keeps project-specific servers in the user's own file.
    projects = content.get("projects")
    project = projects.get(str(working_directory)) if isinstance(projects, dict) else None
    if source.host == "claude-code" and isinstance(project, dict):
        here = replace(source, project=working_directory)
        imports += _imports(_servers(project, "mcpServers", source.path), here, working_directory)
    return imports


def read_any_file(path: Path, *, home: Path, working_directory: Path) -> list[ImportedServer]:
    """Read the servers in a file whose host is detected.

    Raises:
        ConfigError: the file cannot be read, or contains no servers.
    """
    content = _content(path)
    source = recognize_file(path, frozenset(content), home=home)
    if source.host == "other" and "mcpServers" not in content:
        raise ConfigError("contains neither mcpServers, servers nor mcp_servers", path=path)
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
        # Without the parser's message, which may quote a secret.
        raise ConfigError(f"is not valid {kind}{_line(error)}", path=path) from None
    if not isinstance(content, dict):
        raise ConfigError("is not a file of an MCP host", path=path)
    return content


def _json(text: str, path: Path) -> object:
    """Parse JSON with or without comments; the parser for comments takes seconds on large files.

    Raises:
        ValueError: the text is neither.
        ConfigError: the text is not plain JSON, and too large for JSON with comments.
    """
    try:
        return json.loads(text)
    except ValueError:
        if len(text) > _MAX_COMMENTED_JSON_CHARS:
            message = (
                "is not valid JSON; comments are supported only up to "
                f"{_MAX_COMMENTED_JSON_CHARS:,} characters"
            )
            raise ConfigError(message, path=path) from None
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


def _imports(
    servers: Mapping[str, JsonValue], source: HostFile, folder: Path
) -> Iterator[ImportedServer]:
    names: set[str] = set()
    for original_name, block in servers.items():
        name = _unique_name(original_name, names)
        names.add(name)
        if not isinstance(block, dict):
            yield UnusableServer(name, source, "is not a mapping")
            continue
        notes = [] if name == original_name else [f"renamed from {original_name!r}"]
        yield _import(name, block, source, folder, notes)


def _unique_name(name: str, taken: set[str]) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:32].rstrip("-_") or "server"
    number, unique = 2, safe
    while unique in taken:
        unique = f"{safe[:28]}-{number}"
        number += 1
    return unique


def _import(
    name: str, block: JsonObject, source: HostFile, folder: Path, notes: list[str]
) -> ImportedServer:
    host = HOSTS[source.host]
    block = dict(block)
    for key in list(block):
        if key in _IGNORED_KEYS or (key == "sandboxEnabled" and block[key] is False):
            notes.append(f"dropped {key}, which has no effect here")
            del block[key]
        elif key not in McpServerConfig.model_fields and key not in FOREIGN_KEYS:
            notes.append(f"dropped {key}, which is unknown")
            del block[key]
    if host.url_is_sse and "url" in block and "httpUrl" not in block:
        block.setdefault("type", "sse")
    _convert_timeout(block, host, notes)
    tree = _config_tree(name, _translate_texts(block, host, folder))
    tree, mistakes = translate_keys(tree)
    server = _child(_child(tree, "mcp_servers"), name)
    assert isinstance(server.value, dict)
    if not mistakes:
        mistakes = _mistakes(tree)
    if mistakes:
        reason = "; ".join(_reason(mistake, name) for mistake in mistakes)
        return UnusableServer(name, source, reason)
    entry = plain(server, None)
    assert isinstance(entry, dict)
    _resolve_paths(entry, folder, is_project=source.project is not None)
    in_order = {key: entry[key] for key in McpServerConfig.model_fields if key in entry}
    return FoundServer(name, source, in_order, tuple(notes))


def _convert_timeout(block: JsonObject, host: OtherHost, notes: list[str]) -> None:
    timeout = block.get("timeout")
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        return
    is_milliseconds = host.timeout == "milliseconds" or (
        host.timeout == "either" and timeout >= 1000
    )
    if host.timeout == "milliseconds" and timeout < 1000:
        del block["timeout"]
        notes.append(f"dropped timeout: {host.title} ignores values below 1 s")
        return
    seconds = timeout / 1000 if is_milliseconds else timeout
    if seconds > MAX_TIMEOUT_SECONDS:
        seconds = MAX_TIMEOUT_SECONDS
        notes.append(f"timeout reduced to the maximum, {MAX_TIMEOUT_SECONDS} s")
    block["timeout"] = int(seconds) if seconds == int(seconds) else seconds


def _translate_texts(value: JsonValue, host: OtherHost, folder: Path) -> JsonValue:
    match value:
        case dict():
            return {key: _translate_texts(item, host, folder) for key, item in value.items()}
        case list():
            return [_translate_texts(item, host, folder) for item in value]
        case str():
            return translate_variables(value, host, folder)
        case _:
            return value


def _resolve_paths(entry: JsonObject, folder: Path, *, is_project: bool) -> None:
    """Resolve relative paths: hosts run programs in the project's folder, we run anywhere."""
    for key in ("cwd", "env_file", "command"):
        value = entry.get(key)
        is_path = isinstance(value, str) and (key != "command" or "/" in value)
        if isinstance(value, str) and is_path and not value.startswith(("/", "~", "$")):
            entry[key] = str(folder / value)
    if is_project and "command" in entry:
        entry.setdefault("cwd", str(folder))


# --- checking --------------------------------------------------------------------------------


class _AllVariablesSet(dict[str, str]):
    """Environment in which each variable has its default or a value that is a valid URL."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return default and "https://variable.invalid"


def mistakes_in(name: str, entry: JsonObject) -> list[ConfigError]:
    """Return the mistakes in an entry of ``mcp_servers``; its variables may be unset."""
    return _mistakes(_config_tree(name, entry))


def _mistakes(tree: SourcedValue) -> list[ConfigError]:
    tree, mistakes = with_variables(tree, _AllVariablesSet())
    return mistakes or validate(tree)[1]


def _config_tree(name: str, block: JsonValue) -> SourcedValue:
    return from_python({"mcp_servers": {name: block}}, Origin(None))


def _child(node: SourcedValue, key: str) -> SourcedValue:
    assert isinstance(node.value, dict)
    return node.value[key]


def _reason(mistake: ConfigError, name: str) -> str:
    key = (mistake.key or "").removeprefix(f"mcp_servers.{name}").removeprefix(".")
    return f"{key}: {mistake.message}" if key else mistake.message
