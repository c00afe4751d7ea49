"""Diagnostics of a connection and of one request, used to build error messages."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import anyio


class OnProgress(Protocol):
    """Callback for progress notifications of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


@dataclass(slots=True)
class ConnectionState:
    """Diagnostics of one connection."""

    lost: anyio.Event = field(default_factory=anyio.Event)
    """Set when the connection has ended or is being closed."""
    was_ready: bool = False
    """True once the server has listed its tools."""
    noise: str | None = None
    """First output on stdout that was not MCP."""
    http_status: int | None = None
    """Last HTTP error status."""
    refusal_text: str = ""
    """Text of the last HTTP response that was not a JSON-RPC message."""
    endpoint: str | None = None
    """Endpoint that an SSE server told the client to post to."""
    posted_to: str | None = None
    """URL of the POST that was rejected with ``http_status``; SSE only."""


@dataclass(slots=True)
class RequestState:
    """Diagnostics of one request in progress."""

    on_progress: OnProgress | None = None
    http_status: int | None = None
    """HTTP status that rejected the request."""
    refusal_text: str = ""
    """Text of its HTTP response, if that was not a JSON-RPC message."""
    has_session: bool = False
    """True if it was sent in a session, which the server may have forgotten."""


current_request: ContextVar[RequestState | None] = ContextVar("current_request", default=None)
"""The request that the running code belongs to. The SDK sends each request in the context of its
caller."""
