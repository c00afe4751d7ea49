"""Connections of slow and silent clients: bounded in number and time.

A connection has until a deadline to bring a whole request, and is closed when a client reads
nothing of its response for long. Where there are too many, the one that has waited longest without
a whole request makes room.
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

_LEAST_BYTES_PER_SECOND = 65_536
"""Of a request. A slower one is closed at its deadline, which each byte that came moves on."""


class Connections:
    """The open connections of one server.

    Args:
        config: says how long they may take.
        most: open at the same time.
    """

    def __init__(self, config: ServerConfig, *, most: int) -> None:
        self.read_seconds = config.read_seconds
        self.write_seconds = config.write_seconds
        self._most = most
        self._open: set[HttpConnection] = set()
        self._waiting: dict[HttpConnection, None] = {}
        """Without a whole request, longest first."""

    def add(self, connection: HttpConnection) -> None:
        """Let one more in; where there are too many, one that waits makes room."""
        if len(self._open) >= self._most:
            self._evict(connection)
        self._open.add(connection)
        self._waiting[connection] = None

    def wait(self, connection: HttpConnection) -> None:
        """It waits for the rest of a request, or for the next one."""
        self._waiting.setdefault(connection)

    def work(self, connection: HttpConnection) -> None:
        """It has brought a whole request."""
        self._waiting.pop(connection, None)

    def discard(self, connection: HttpConnection) -> None:
        """It is closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def _evict(self, newest: HttpConnection) -> None:
        """Close the one that has waited longest, of the address that has the most of them."""
        waiting: Iterable[HttpConnection] = self._waiting
        numbers = Counter(connection.address for connection in waiting)
        if not numbers:
            newest.close()  # all are being answered
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
    """uvicorn's HTTP/1.1, with a deadline for requests and one for whoever reads nothing."""

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
        """Of the client."""
        return self.client[0] if self.client else ""

    def close(self) -> None:
        """Close it now; what was not sent is lost."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bounds.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._bounds.discard(self)
        for timer in (self._read_timer, self._write_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._deadline += len(data) / _LEAST_BYTES_PER_SECOND
        super().data_received(data)
        self._see()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._deadline = self.loop.time() + self._bounds.read_seconds
        self._see()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    @property
    def _has_request(self) -> bool:
        """True while a whole request is being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _see(self) -> None:
        """Wait for a request, or stop waiting."""
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

    def _expect_reading(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(
            self._bounds.write_seconds, self._check_reading, size
        )

    def _check_reading(self, size: int) -> None:
        if self.transport.get_write_buffer_size() < size:
            self._expect_reading()
        else:
            self.close()

    def _check_deadline(self) -> None:
        if self.loop.time() < self._deadline:
            self._read_timer = self.loop.call_at(self._deadline, self._check_deadline)
        else:
            self.close()
