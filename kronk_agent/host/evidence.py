from __future__ import annotations

from dataclasses import dataclass, field

import anyio


@dataclass(slots=True)
class Evidence:
    """What was seen of one connection, which explains its end better than the exceptions do."""

    lost: anyio.Event = field(default_factory=anyio.Event)
    """Set when nothing more will come from the server, or is wanted from it."""
    was_ready: bool = False
    """It listed its tools."""
    noise: str | None = None
    """The first thing on its stdout that was not MCP."""
    http_status: int | None = None
    """The last HTTP status that meant an error."""
