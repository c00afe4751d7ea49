"""Bounds on the number of connections, and on slow and idle clients.

A connection must deliver a whole request before a deadline, and is closed if its client stops
reading the response. Above the limit, the connection that has waited longest without a whole
request is closed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from kronk_agent.config.schema.server import ServerConfig

_MIN_BYTES_PER_SECOND = 65_536
"""Minimum upload rate of a request: each byte received extends the deadline accordingly."""


class Connections:
    """The open connections of one server.

    Args:
        config: the read and write timeouts.
        max_open: maximum number of open connections.
    """

    def __init__(self, config: ServerConfig, *, max_open: int) -> None:
        self.read_seconds = config.read_seconds
        self.write_seconds = config.write_seconds
        self._max_open = max_open
        self._open: set[HttpConnection] = set()
        self._waiting: dict[HttpConnection, None] = {}
        """Connections without a whole request, the longest waiting first."""

    def add(self, connection: HttpConnection) -> None:
        """Add a connection; above the limit, a waiting one is closed."""
        if len(self._open) >= self._max_open:
            self._evict(connection)
        self._open.add(connection)
        self._waiting[connection] = None

    def wait(self, connection: HttpConnection) -> None:
        """Mark a connection as waiting for the rest of a request, or for the next one."""
        self._waiting.setdefault(connection)

    def work(self, connection: HttpConnection) -> None:
        """Mark a connection as having delivered a whole request."""
        self._waiting.pop(connection, None)

    def discard(self, connection: HttpConnection) -> None:
        """Forget a closed connection."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def _evict(self, newest: HttpConnection) -> None:
        """Close the longest waiting connection of the address that has most of them."""
        waiting: Iterable[HttpConnection] = self._waiting
        numbers = Counter(connection.address for connection in waiting)
        if not numbers:
            newest.close()  # no connection is waiting: all requests are being answered
            return
        busiest = max(numbers.values())
        longest = next(one for one in waiting if numbers[one.address] == busiest)
        longest.close()
        self.discard(longest)


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration, with the bounds on connections."""

    def __init__(self, app: Any, connections: Connections, **options: Any) -> None:
        super().__init__(app, http=HttpConnection, ws="none", **options)
        self.bounds = connections


class HttpConnection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, with a deadline for requests and a timeout for slow readers."""

    def __init__(
        self,
        config: BoundedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = config.bounds
        self._deadline = 0.0
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """The client's address, "" if unknown."""
        return self.client[0] if self.client else ""

    def close(self) -> None:
        """Close the connection at once; unsent data is lost."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection and start its deadline."""
        super().connection_made(transport)
        self._bounds.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection and cancel its timers."""
        super().connection_lost(exc)
        self._bounds.discard(self)
        for timer in (self._read_timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Extend the deadline by the data received."""
        self._deadline += len(data) / _MIN_BYTES_PER_SECOND
        super().data_received(data)
        self._update_deadline()

    def on_response_complete(self) -> None:
        """Start the deadline of the next request."""
        super().on_response_complete()
        self._deadline = self.loop.time() + self._bounds.read_seconds
        self._update_deadline()

    def pause_writing(self) -> None:
        """Start the write timeout: the client has stopped reading."""
        super().pause_writing()
        self._start_write_timeout()

    def resume_writing(self) -> None:
        """Cancel the write timeout."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    @property
    def _has_request(self) -> bool:
        """True while a whole request is being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _update_deadline(self) -> None:
        """Start or cancel the read deadline, depending on whether a whole request has arrived."""
        if not self._has_request:
            if self._read_timer is None:
                self._wait()
            return
        self._bounds.work(self)
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _wait(self) -> None:
        self._bounds.wait(self)
        self._deadline = self.loop.time() + self._bounds.read_seconds
        self._read_timer = self.loop.call_at(self._deadline, self._check_deadline)

    def _start_write_timeout(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(
            self._bounds.write_seconds, self._check_progress, size
        )

    def _check_progress(self, size: int) -> None:
        if self.transport.get_write_buffer_size() < size:
            self._start_write_timeout()
        else:
            self.close()

    def _check_deadline(self) -> None:
        if self.loop.time() < self._deadline:
            self._read_timer = self.loop.call_at(self._deadline, self._check_deadline)
        else:
            self.close()
