"""MCP servers that a project asks for, in the ``.mcp.json`` of the folder we run in.

Whoever wrote the project wrote that file, and it starts programs. So none of its servers is run
before the person has seen what exactly would be run and has agreed. What was agreed to is
remembered by the hash of all of it: one changed letter, and the person is asked again.
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

from kronk_agent.config.mcp_clients.importing import Found, read_host_file
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
    """A server that a project asks for. Its values are as the file writes them."""

    name: str
    file: Path
    entry: JsonObject

    @property
    def digest(self) -> str:
        """sha256, in hex, of everything the file says of it, and of where the file is."""
        text = json.dumps([str(self.file), self.name, self.entry], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def config(self, environ: Mapping[str, str] | None = None) -> McpServerConfig:
        """Its configuration, with variables put in.

        Raises:
            ConfigError: a variable is not set, or its value does not fit.
        """
        tree = from_python({"mcp_servers": {self.name: self.entry}}, Origin(self.file))
        tree, mistakes = with_variables(tree, os.environ if environ is None else environ)
        config, invalid = validate(tree)
        if mistakes or invalid:
            raise ConfigError.together([*mistakes, *invalid])
        return config.mcp_servers[self.name]


def project_servers(folder: Path) -> list[ProjectServer]:
    """Those the folder's ``.mcp.json`` asks for and that we can run; none where there is no file.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = folder / PROJECT_FILE
    if not file.is_file():
        return []
    source = HostFile(file, "claude-code", folder)
    found = read_host_file(source, home=Path.home(), working_directory=folder)
    return [ProjectServer(each.name, file, each.entry) for each in found if isinstance(each, Found)]


def command_line(entry: JsonObject) -> str:
    """What is run for a server, or where it is reached, in one line: exactly, and nothing else."""
    args = entry.get("args")
    words = (
        [entry["command"], *(args if isinstance(args, list) else [])] if "command" in entry else []
    )
    return shlex.join(map(str, words)) if words else str(entry.get("url"))


def surroundings(entry: JsonObject) -> list[str]:
    """What else decides what a server can do, a line each."""
    lines = [f"in {entry['cwd']}"] if "cwd" in entry else []
    for section, words in (("env", "with the variable"), ("headers", "with the header")):
        values = entry.get(section)
        for name, value in values.items() if isinstance(values, dict) else ():
            lines.append(f"{words} {name}={value}")
    rest = sorted(entry.keys() - {"command", "args", "url", "cwd", "env", "headers"})
    return lines + [f"{key}: {json.dumps(entry[key])}" for key in rest]


class Consents:
    """What the person said to which server."""

    def __init__(self, file: Path | None = None) -> None:
        """``file`` keeps it; None is the person's own."""
        state = platformdirs.user_state_path("kronk-agent", appauthor=False)
        self._file = file or state / "mcp" / "consents.json"

    def verdict(self, server: ProjectServer) -> Verdict | None:
        """What was said to exactly this; None: nothing yet."""
        kept = self._read().get(server.digest)
        match kept.get("verdict") if isinstance(kept, dict) else None:
            case "agreed":
                return "agreed"
            case "declined":
                return "declined"
            case _:
                return None

    def remember(self, server: ProjectServer, verdict: Verdict) -> None:
        """
        Raises:
            ConfigError: it cannot be written.
        """
        kept = self._read()
        kept[server.digest] = {
            "verdict": verdict,
            "file": str(server.file),
            "server": server.name,
            "runs": command_line(server.entry),
        }
        try:
            write_whole(self._file, json.dumps(kept, indent=2).encode())
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", path=self._file) from error

    def _read(self) -> JsonObject:
        """Nothing was agreed to where the file cannot be read."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return kept if isinstance(kept, dict) else {}
