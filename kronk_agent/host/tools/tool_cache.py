"""What is remembered of a server between runs: its tools, so that they are there at once."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.files import UNREADABLE, write_whole
from kronk_agent.host.tools.definitions import ToolDefinition

logger = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CachedTools:
    """A server as it was when it was last there."""

    mode: Literal["auto", "legacy"] = "auto"
    """``legacy`` where asking for the protocol is a waste of time."""
    definitions: tuple[ToolDefinition, ...] = ()
    """Its usable tools."""
    instructions: str = ""
    """What it said of them."""


class ToolCache:
    """One server's file. It is a cache: one that is missing, old or broken is as good as none."""

    def __init__(self, path: Path, config: McpServerConfig) -> None:
        self._path = path
        self._config = _fingerprint(config)

    def load(self) -> CachedTools:
        """What was kept under the same configuration; a definition that was altered is dropped."""
        try:
            kept = json.loads(self._path.read_bytes())
            if (kept["format"], kept["config"]) != (_FORMAT, self._config):
                return CachedTools()
            definitions = [
                definition
                for digest, value in kept["tools"].items()
                if (definition := ToolDefinition.from_json(value)).digest == digest
            ]
            mode: Literal["auto", "legacy"] = "legacy" if kept["mode"] == "legacy" else "auto"
            return CachedTools(mode, tuple(definitions), str(kept.get("instructions", "")))
        except FileNotFoundError:
            return CachedTools()
        except UNREADABLE as error:
            logger.info("%s is of no use: %s", self._path, error)
            return CachedTools()

    def keep(self, remembered: CachedTools) -> None:
        """Write the file anew, whole or not at all."""
        tools = {definition.digest: definition.to_json() for definition in remembered.definitions}
        text = json.dumps(
            {
                "format": _FORMAT,
                "config": self._config,
                "mode": remembered.mode,
                "tools": tools,
                "instructions": remembered.instructions,
            }
        )
        try:
            write_whole(self._path, text.encode())
        except OSError as error:
            logger.warning("the tools of an MCP server are not remembered: %s", error)


def _fingerprint(config: McpServerConfig) -> str:
    """Of all that decides which server it is and what it is told."""
    told = config.model_dump_json(include={"command", "args", "env", "cwd", "url", "headers"})
    return hashlib.sha256(told.encode()).hexdigest()
