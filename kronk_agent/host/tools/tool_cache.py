"""Cache of a server's tools between runs, so that they are offered before it has started."""

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
    """State of a server when it was last connected."""

    mode: Literal["auto", "legacy"] = "auto"
    """``legacy`` if the server does not support discovery."""
    definitions: tuple[ToolDefinition, ...] = ()
    """Usable tools."""
    instructions: str = ""
    """The server's ``instructions``."""


class ToolCache:
    """Cache file of one server. A missing, outdated or broken file counts as empty."""

    def __init__(self, path: Path, config: McpServerConfig) -> None:
        self._path = path
        self._config = _fingerprint(config)

    def load(self) -> CachedTools:
        """Load what was saved under the same configuration; altered definitions are dropped."""
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
            logger.info("ignored the tool cache %s: %s", self._path, error)
            return CachedTools()

    def save(self, cached: CachedTools) -> None:
        """Save the state, atomically."""
        tools = {definition.digest: definition.to_json() for definition in cached.definitions}
        text = json.dumps(
            {
                "format": _FORMAT,
                "config": self._config,
                "mode": cached.mode,
                "tools": tools,
                "instructions": cached.instructions,
            }
        )
        try:
            write_whole(self._path, text.encode())
        except OSError as error:
            logger.warning("cannot cache the tools of an MCP server: %s", error)


def _fingerprint(config: McpServerConfig) -> str:
    """Digest of the settings that identify a server and what it is given."""
    identity = config.model_dump_json(include={"command", "args", "env", "cwd", "url", "headers"})
    return hashlib.sha256(identity.encode()).hexdigest()
