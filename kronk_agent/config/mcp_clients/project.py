"""MCP servers that a project asks for in ``.mcp.json`` of the working directory.

The project's author wrote that file, and it starts programs. So none of its servers is started
before the user has seen exactly what would be run and has agreed. The consent is stored by the hash
of the complete entry: if anything changes, the user is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import platformdirs

from kronk_agent.config.mcp_clients.importing import FoundServer, read_host_file
from kronk_agent.config.mcp_clients.known_clients import HostFile
from kronk_agent.config.schema.mcp_server import McpServerConfig
from kronk_agent.config.validating import validate
from kronk_agent.config.yaml.sourced import Origin, from_python
from kronk_agent.config.yaml.variables import with_variables
from kronk_agent.errors import ConfigError
from kronk_agent.files import write_whole
from kronk_agent.messages import JsonObject

Verdict: TypeAlias = Literal["agreed", "declined"]

PROJECT_FILE = ".mcp.json"


@dataclass(frozen=True, slots=True)
class ProjectServer:
    """A server that a project asks for, with its values as written in the file."""

    name: str
    file: Path
    entry: JsonObject

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the complete entry and the file's path."""
        text = json.dumps([str(self.file), self.name, self.entry], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def config(self, environ: Mapping[str, str] | None = None) -> McpServerConfig:
        """Return the server's configuration with variables resolved.

        Args:
            environ: the environment variables; None means those of the process.

        Raises:
            ConfigError: a variable is not set, or a value is invalid.
        """
        tree = from_python({"mcp_servers": {self.name: self.entry}}, Origin(self.file))
        tree, mistakes = with_variables(tree, os.environ if environ is None else environ)
        config, invalid = validate(tree)
        if mistakes or invalid:
            raise ConfigError.together([*mistakes, *invalid])
        return config.mcp_servers[self.name]


def project_servers(folder: Path) -> list[ProjectServer]:
    """Return the usable servers in the folder's ``.mcp.json``; empty without such a file.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = folder / PROJECT_FILE
    if not file.is_file():
        return []
    source = HostFile(file, "claude-code", folder)
    found = read_host_file(source, home=Path.home(), working_directory=folder)
    return [
        ProjectServer(each.name, file, each.entry)
        for each in found
        if isinstance(each, FoundServer)
    ]


def command_line(entry: JsonObject) -> str:
    """Return the server's exact command line, or its URL."""
    args = entry.get("args")
    command = (
        [entry["command"], *(args if isinstance(args, list) else [])] if "command" in entry else []
    )
    return shlex.join(map(str, command)) if command else str(entry.get("url"))


def server_details(entry: JsonObject) -> list[str]:
    """Return the other settings of a server, one line each."""
    lines = [f"in {entry['cwd']}"] if "cwd" in entry else []
    for section, label in (("env", "with the variable"), ("headers", "with the header")):
        values = entry.get(section)
        for name, value in values.items() if isinstance(values, dict) else ():
            lines.append(f"{label} {name}={value}")
    rest = sorted(entry.keys() - {"command", "args", "url", "cwd", "env", "headers"})
    return lines + [f"{key}: {json.dumps(entry[key])}" for key in rest]


class Consents:
    """The user's decisions about servers that projects ask for."""

    def __init__(self, file: Path | None = None) -> None:
        """``file`` stores the decisions; None means the file in the user's state directory."""
        state = platformdirs.user_state_path("kronk-agent", appauthor=False)
        self._file = file or state / "mcp" / "consents.json"

    def verdict(self, server: ProjectServer) -> Verdict | None:
        """Return the decision about exactly this server; None if the user was not asked."""
        stored = self._read().get(server.digest)
        match stored.get("verdict") if isinstance(stored, dict) else None:
            case "agreed":
                return "agreed"
            case "declined":
                return "declined"
            case _:
                return None

    def remember(self, server: ProjectServer, verdict: Verdict) -> None:
        """Store the decision about a server.

        Raises:
            ConfigError: the file cannot be written.
        """
        stored = self._read()
        stored[server.digest] = {
            "verdict": verdict,
            "file": str(server.file),
            "server": server.name,
            "runs": command_line(server.entry),
        }
        try:
            write_whole(self._file, json.dumps(stored, indent=2).encode())
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", path=self._file) from error

    def _read(self) -> JsonObject:
        """Read the decisions; empty if the file cannot be read."""
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return stored if isinstance(stored, dict) else {}
