"""Which names of tools can be right, as far as is known before MCP servers have started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kronk_agent.tools.policy import is_named

_READ_RESOURCE = "read_resource"
"""The tool there is as soon as there are MCP servers."""
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class KnownTools:
    """Tools there are, and those there may be once their MCP server is started."""

    names: tuple[str, ...]
    """Of the tools there are."""
    prefixes: tuple[str, ...] = ()
    """Prefixes of tool names that belong to MCP servers."""

    def fits(self, glob: str) -> bool:
        """True if a tool has this name, or may have it once its server is started."""
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
    """The tools of these names, and any of these servers."""
    from kronk_agent.host.tools.naming import server_prefix  # heavy: the whole host

    prefixes = tuple(f"{server_prefix(server)}__" for server in servers)
    return KnownTools((*names, *([_READ_RESOURCE] if prefixes else ())), prefixes)
