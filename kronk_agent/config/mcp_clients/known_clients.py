"""Other MCP hosts: where their configuration files are, and how to interpret them."""

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
"""The syntaxes of variables in texts.

plain: ``${VAR}`` and ``${VAR:-default}``; editor: ``${env:VAR}``, ``${input:id}``,
``${workspaceFolder}`` and ``${userHome}``; dollar: ``$VAR``.
"""


@dataclass(frozen=True, slots=True)
class OtherHost:
    """A program that runs MCP servers."""

    title: str
    root: str = "mcpServers"
    """The key that contains the servers."""
    variables: frozenset[Variables] = frozenset()
    """The variable syntaxes that the host expands; it takes others literally."""
    timeout: Literal["seconds", "milliseconds", "either"] = "seconds"
    """The unit of timeouts; either: values from 1000 up are milliseconds."""
    url_is_sse: bool = False
    """True if ``url`` without a type means the SSE transport."""


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
"""Hosts whose files can be located by the host's name."""


@dataclass(frozen=True, slots=True)
class HostFile:
    """A configuration file of a host."""

    path: Path
    host: str
    project: Path | None = None
    """The project folder the file belongs to; None for the user's own file."""


def files_of(host: str, *, home: Path, working_directory: Path) -> list[HostFile]:
    """Return the files that a host reads when it runs in this folder, existing or not."""
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


def recognize_file(path: Path, root_keys: frozenset[str], *, home: Path) -> HostFile:
    """Detect the host of a file by its path and top-level keys."""
    folder = path.parent
    if path.name == ".mcp.json":
        return HostFile(path, "claude-code", folder)
    if path.name == ".claude.json":
        return HostFile(path, "claude-code")
    hosts = {".vscode": "vscode", ".cursor": "cursor", ".gemini": "gemini", ".codex": "codex"}
    if (host := hosts.get(folder.name)) is not None:
        return HostFile(path, host, None if folder.parent == home else folder.parent)
    for host, is_match in {
        "claude-desktop": path.name == "claude_desktop_config.json",
        "cline": path.name in ("cline_mcp_settings.json", "mcp_settings.json"),
        "codex": path.suffix == ".toml",
        "vscode": "servers" in root_keys,
    }.items():
        if is_match:
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
  | \$\{ env: (?P<env> [A-Za-z_]\w* ) \}
  | \$\{ input: (?P<input> [^}]+ ) \}
  | \$\{ (?P<constant> [A-Za-z/]+ ) \}
  | \$ (?P<dollar> [A-Za-z_]\w* )
    """,
    re.VERBOSE,
)


def translate_variables(text: str, host: OtherHost, folder: Path) -> str:
    """Rewrite a host's variables in our syntax; ``folder`` is the host's working directory."""
    return "".join(_translate_variables(text, host.variables, folder))


def _translate_variables(text: str, syntaxes: frozenset[Variables], folder: Path) -> Iterator[str]:
    constants = {
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
        plain, env, input_id, constant, dollar = match.group(
            "plain", "env", "input", "constant", "dollar"
        )
        if "editor" in syntaxes and (plain in constants or constant in constants):
            yield escape(constants[plain or constant])
        elif plain is not None and "plain" in syntaxes:
            yield f"${{{plain}}}"
        elif env is not None and "editor" in syntaxes:
            yield f"${{{env}}}"
        elif input_id is not None and "editor" in syntaxes:
            yield f"${{{variable_for(input_id)}}}"
        elif dollar is not None and "dollar" in syntaxes:
            yield f"${{{dollar}}}"
        else:
            yield escape(match[0])
    yield escape(text[end:])


def variable_for(name: str) -> str:
    """Return a valid environment variable name that resembles ``name``."""
    safe = re.sub(r"\W+", "_", name).strip("_").upper()
    return f"_{safe}" if not safe or safe[0].isdigit() else safe
