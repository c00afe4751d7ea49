"""Registers kronk-agent in the JSON file of another MCP host."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from kronk_agent.config.mcp_clients.known_clients import HOSTS, files_of
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject

Client: TypeAlias = Literal["claude-desktop", "claude-code", "cursor", "vscode"]

CLIENTS: tuple[Client, ...] = get_args(Client)
_TYPED = ("claude-code", "vscode")
"""Clients whose entries state the transport."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A change to a file."""

    path: Path
    before: str
    """The current content; empty if the file does not exist."""
    after: str
    loses_comments: bool
    """True if the file has comments, which JSON output cannot keep."""

    def diff(self) -> str:
        """Return a unified diff of the change."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), "before", "after", lineterm="", n=2
        )
        return "\n".join(lines)


def client_file(client: Client, *, home: Path, project: Path | None) -> Path:
    """Return the client's configuration file: the user's own, or that of a project folder.

    Raises:
        ConfigError: the client has no per-project file.
    """
    files = files_of(client, home=home, working_directory=project or home)
    if project is None:
        return files[-1].path
    if files[0].project is None:
        raise ConfigError(f"{HOSTS[client].title} has no per-project configuration")
    return files[0].path


def with_entry(client: Client, path: Path, name: str, command: list[str]) -> FileChange | None:
    """Return the change that adds an entry for this command; None if it already exists.

    Raises:
        ConfigError: the file exists but is not a valid configuration.
    """
    before = _read(path)
    content = _parse(before, path) if before.strip() else {}
    root = HOSTS[client].root
    servers = content.setdefault(root, {})
    if not isinstance(servers, dict):
        raise ConfigError(f"{root} is not a mapping", path=path)
    entry: JsonObject = {"type": "stdio"} if client in _TYPED else {}
    entry |= {"command": command[0], "args": [*command[1:]]}
    if servers.get(name) == entry:
        return None
    servers[name] = entry
    after = json.dumps(content, indent=_indent(before), ensure_ascii=False) + "\n"
    return FileChange(path, before, after, loses_comments=_has_comments(before))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=path) from error


def _parse(text: str, path: Path) -> JsonObject:
    import json5  # slow to import

    try:
        content = json5.loads(text)
    except (ValueError, RecursionError):
        # Without the parser's message, which may quote a secret.
        raise ConfigError("is not valid JSON; not changed", path=path) from None
    if not isinstance(content, dict):
        raise ConfigError("is not a JSON object; not changed", path=path)
    return content


def _has_comments(text: str) -> bool:
    """True if the text has comments: then the standard library does not parse it."""
    try:
        json.loads(text or "{}")
    except ValueError:
        return True
    return False


def _indent(text: str) -> str | int:
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else 2
