"""What was seen of a connection, and of one request on it. It explains more than exceptions do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import anyio


class OnProgress(Protocol):
    """Told how far a call is."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


@dataclass(slots=True)
class ConnectionState:
    """One connection."""

    lost: anyio.Event = field(default_factory=anyio.Event)
    """Set when nothing more will come from the server, or is wanted from it."""
    was_ready: bool = False
    """It listed its tools."""
    noise: str | None = None
    """The first thing on its stdout that was not MCP."""
    http_status: int | None = None
    """The last HTTP status that meant an error."""
    said: str = ""
    """What the last HTTP answer that was no message said."""
    endpoint: str | None = None
    """Where a server of the older SSE transport said to post to."""
    posted_to: str | None = None
    """The URL that was posted to, and refused with ``http_status``; older SSE only."""


@dataclass(slots=True)
class RequestState:
    """One request of ours that is under way."""

    on_progress: OnProgress | None = None
    http_status: int | None = None
    """The HTTP status that refused it."""
    said: str = ""
    """What its HTTP answer said, where that was no message."""
    has_session: bool = False
    """It was sent in a session, which the server may have forgotten."""


current_exchange: ContextVar[RequestState | None] = ContextVar("current_exchange", default=None)
"""The request on whose behalf code runs. The SDK sends each in the context of whoever made it."""
