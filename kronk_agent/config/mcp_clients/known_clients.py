"""Other MCP hosts: where they keep their servers, and what their files mean by what they say."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from kronk_agent.config.yaml.variables import escape

Variables: TypeAlias = Literal["plain", "editor", "dollar"]
"""``${VAR}`` and ``${VAR:-default}``; ``${env:VAR}``, ``${input:id}``, ``${workspaceFolder}`` and
``${userHome}``; ``$VAR``."""


@dataclass(frozen=True, slots=True)
class OtherHost:
    """A program that runs MCP servers."""

    title: str
    root: str = "mcpServers"
    """The key its servers are under."""
    variables: frozenset[Variables] = frozenset()
    """Those it puts into texts. Everything else that looks like one is just text to it."""
    timeout: Literal["seconds", "milliseconds", "either"] = "seconds"
    """either: milliseconds from 1000 up."""
    url_is_sse: bool = False


HOSTS: Mapping[str, OtherHost] = {
    "claude-desktop": OtherHost("Claude Desktop"),
    "claude-code": OtherHost("Claude Code", variables=frozenset({"plain"}), timeout="milliseconds"),
    "vscode": OtherHost("VS Code", root="servers", variables=frozenset({"editor"})),
    "cursor": OtherHost("Cursor", variables=frozenset({"editor"})),
    "gemini": OtherHost(
        "Gemini CLI",
        variables=frozenset({"plain", "dollar"}),
        timeout="milliseconds",
        url_is_sse=True,
    ),
    "codex": OtherHost("Codex", root="mcp_servers"),
    "cline": OtherHost("Cline", variables=frozenset({"editor"})),
    "other": OtherHost(
        "an unknown host", variables=frozenset({"plain", "editor"}), timeout="either"
    ),
}
IMPORTABLE = ("claude-desktop", "claude-code", "vscode", "cursor", "gemini", "codex")
"""Those whose files are found by the host's name alone."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file with servers in it."""

    path: Path
    host: str
    project: Path | None = None
    """The folder it speaks for; None when it is the person's own."""


def files_of(host: str, *, home: Path, working_directory: Path) -> list[HostFile]:
    """The files a host reads when it runs in this folder, whether they are there or not."""
    here = working_directory
    match host:
        case "claude-desktop":
            return [HostFile(_application_data(home) / "Claude/claude_desktop_config.json", host)]
        case "claude-code":
            return [HostFile(here / ".mcp.json", host, here), HostFile(home / ".claude.json", host)]
        case "vscode":
            user = _application_data(home) / "Code/User/mcp.json"
            return [HostFile(here / ".vscode/mcp.json", host, here), HostFile(user, host)]
        case "cursor":
            return _in_both(".cursor/mcp.json", host, home, here)
        case "gemini":
            return _in_both(".gemini/settings.json", host, home, here)
        case _:
            own = Path(os.environ.get("CODEX_HOME", home / ".codex")) / "config.toml"
            return [HostFile(here / ".codex/config.toml", host, here), HostFile(own, host)]


def recognised(path: Path, root_keys: frozenset[str], *, home: Path) -> HostFile:
    """Whose file this is, by its name and the keys in it."""
    folder = path.parent
    if path.name == ".mcp.json":
        return HostFile(path, "claude-code", folder)
    if path.name == ".claude.json":
        return HostFile(path, "claude-code")
    hosts = {".vscode": "vscode", ".cursor": "cursor", ".gemini": "gemini", ".codex": "codex"}
    if (host := hosts.get(folder.name)) is not None:
        return HostFile(path, host, None if folder.parent == home else folder.parent)
    for host, is_it in {
        "claude-desktop": path.name == "claude_desktop_config.json",
        "cline": path.name in ("cline_mcp_settings.json", "mcp_settings.json"),
        "codex": path.suffix == ".toml",
        "vscode": "servers" in root_keys,
    }.items():
        if is_it:
            return HostFile(path, host)
    return HostFile(path, "other")


def _in_both(name: str, host: str, home: Path, here: Path) -> list[HostFile]:
    own = HostFile(home / name, host)
    return [own] if here == home else [HostFile(here / name, host, here), own]


def _application_data(home: Path) -> Path:
    match sys.platform:
        case "darwin":
            return home / "Library/Application Support"
        case "win32":
            return Path(os.environ.get("APPDATA", home / "AppData/Roaming"))
        case _:
            return Path(os.environ.get("XDG_CONFIG_HOME", home / ".config"))


# --- variables -------------------------------------------------------------------------------

_VARIABLE = re.compile(
    r"""
    \$\{ (?P<plain> [A-Za-z_]\w* (?: :- [^}]* )? ) \}
  | \$\{ (?: env: (?P<env> [A-Za-z_]\w* ) | input: (?P<input> [^}]+ ) | (?P<place> [A-Za-z/]+ ) ) \}
  | \$ (?P<dollar> [A-Za-z_]\w* )
    """,
    re.VERBOSE,
)


def in_our_words(text: str, host: OtherHost, folder: Path) -> str:
    """The text as our file says the same; ``folder`` is the one the host works in."""
    return "".join(_in_our_words(text, host.variables, folder))


def _in_our_words(text: str, known: frozenset[Variables], folder: Path) -> Iterator[str]:
    places = {
        "workspaceFolder": str(folder),
        "workspaceFolderBasename": folder.name,
        "userHome": str(Path.home()),
        "pathSeparator": os.sep,
        "/": os.sep,
    }
    end = 0
    for match in _VARIABLE.finditer(text):
        yield escape(text[end : match.start()])
        end = match.end()
        plain, env, input_id, place, dollar = match.group(
            "plain", "env", "input", "place", "dollar"
        )
        if "editor" in known and (plain in places or place in places):
            yield escape(places[plain or place])
        elif plain is not None and "plain" in known:
            yield f"${{{plain}}}"
        elif env is not None and "editor" in known:
            yield f"${{{env}}}"
        elif input_id is not None and "editor" in known:
            yield f"${{{variable_for(input_id)}}}"
        elif dollar is not None and "dollar" in known:
            yield f"${{{dollar}}}"
        else:
            yield escape(match[0])
    yield escape(text[end:])


def variable_for(name: str) -> str:
    """An environment variable's name that is like this one."""
    safe = re.sub(r"\W+", "_", name).strip("_").upper()
    return f"_{safe}" if not safe or safe[0].isdigit() else safe
