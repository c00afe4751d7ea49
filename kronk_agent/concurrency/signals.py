"""Change notifications between tasks."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectSendStream

DEBOUNCE_SECONDS = 0.1
"""Time to wait for more changes after the first."""
SHORTEST_INTERVAL_SECONDS = 1.0
"""Shortest time between two reactions to a signal."""


class Signal:
    """Event that merges repeated changes, with at most one reaction per second."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._last = -math.inf

    def set(self) -> None:
        """Announce a change."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a change, and briefly for more to follow."""
        await self._event.wait()
        now = anyio.current_time()
        await anyio.sleep_until(max(now + DEBOUNCE_SECONDS, self._last + SHORTEST_INTERVAL_SECONDS))
        self._last = anyio.current_time()
        self._event = anyio.Event()


class Subscriptions:
    """Subscriptions to changes, by the name of what changed."""

    def __init__(self) -> None:
        self._streams: dict[str, list[MemoryObjectSendStream[None]]] = {}

    def notify(self, name: str) -> None:
        """Notify the subscribers of a name."""
        for stream in self._streams.get(name, ()):
            with suppress(anyio.WouldBlock):  # an unread change is already queued
                stream.send_nowait(None)

    @contextmanager
    def subscribe(self, name: str) -> Iterator[AsyncIterator[None]]:
        """Subscribe to a name; yields an item per change, with unread changes merged."""
        send, receive = anyio.create_memory_object_stream[None](1)
        streams = self._streams.setdefault(name, [])
        streams.append(send)
        try:
            with send, receive:
                yield receive
        finally:
            streams.remove(send)
