"""Checks tool names against the tools that exist, or may exist once MCP servers have started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kronk_agent.tools.policy import is_named

_READ_RESOURCE = "read_resource"
"""The tool that exists as soon as any MCP server is configured."""
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class KnownTools:
    """Existing tools, and tools that may exist once their MCP server has started."""

    names: tuple[str, ...]
    """Names of the existing tools."""
    prefixes: tuple[str, ...] = ()
    """Prefixes of tool names that belong to MCP servers."""

    def matches(self, glob: str) -> bool:
        """True if a tool matches the glob, or may match once its server has started."""
        if any(is_named(name, [glob]) for name in self.names):
            return True
        start = _WILDCARD.split(glob, maxsplit=1)[0]
        is_open = start != glob
        if not start:
            return True
        return any(
            start.startswith(prefix) or (is_open and prefix.startswith(start))
            for prefix in self.prefixes
        )


def known_tools(names: Iterable[str], servers: Iterable[str]) -> KnownTools:
    """Return the tools with these names, and any tools of these servers."""
    from kronk_agent.host.tools.naming import server_prefix  # heavy: the whole host

    prefixes = tuple(f"{server_prefix(server)}__" for server in servers)
    return KnownTools((*names, *([_READ_RESOURCE] if prefixes else ())), prefixes)
