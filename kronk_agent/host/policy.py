"""Which of a server's tools there are, and which may be called, as its configuration says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from kronk_agent.config.mcp_server import Permission
from kronk_agent.config.schema import McpServerConfig
from kronk_agent.host.definitions import ToolDefinition


def offered(config: McpServerConfig, definitions: Sequence[ToolDefinition]) -> list[ToolDefinition]:
    """Those that are allowed and not denied."""
    return [
        definition
        for definition in definitions
        if _matches(definition.name, config.tools.allow)
        and not _matches(definition.name, config.tools.deny)
        and permission(config, definition.name) != "deny"
    ]


def permission(config: McpServerConfig, tool: str) -> Permission:
    """deny wins over allow, allow over ask; a tool that is not named may be called."""
    said = {value for pattern, value in config.policy.items() if fnmatchcase(tool, pattern)}
    if "deny" in said:
        return "deny"
    return "ask" if said == {"ask"} else "allow"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
