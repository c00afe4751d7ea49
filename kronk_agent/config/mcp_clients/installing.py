"""Registering ourselves with another MCP host: its JSON file with one more entry."""

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
"""Their entries say which transport they are for."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a file is to become."""

    path: Path
    before: str
    """Empty where there is no file yet."""
    after: str
    loses_comments: bool

    def diff(self) -> str:
        """The change for a person to read."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), "before", "after", lineterm="", n=2
        )
        return "\n".join(lines)


def client_file(client: Client, *, home: Path, project: Path | None) -> Path:
    """Where the client keeps its servers: the person's own file, or that of a project folder.

    Raises:
        ConfigError: the client has no files in projects.
    """
    files = files_of(client, home=home, working_directory=project or home)
    if project is None:
        return files[-1].path
    if files[0].project is None:
        raise ConfigError(f"{HOSTS[client].title} has no files of its own in projects")
    return files[0].path


def with_entry(client: Client, path: Path, name: str, command: list[str]) -> Change | None:
    """The file with an entry that starts this command; None where it has that already.

    Raises:
        ConfigError: the file is there, and is not what it should be.
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
    return Change(path, before, after, loses_comments=_has_comments(before))


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
        # Not the parser's words, which quote what may be a secret.
        raise ConfigError("is not JSON, and is left alone", path=path) from None
    if not isinstance(content, dict):
        raise ConfigError("is not an object, and is left alone", path=path)
    return content


def _has_comments(text: str) -> bool:
    """Only JSON without comments is also JSON to the standard library."""
    try:
        json.loads(text or "{}")
    except ValueError:
        return True
    return False


def _indent(text: str) -> str | int:
    found = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else 2
