"""Signals between tasks."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectSendStream

DEBOUNCE_SECONDS = 0.1
"""Time to wait after a signal for more to follow."""
MIN_INTERVAL_SECONDS = 1.0
"""Minimum time between two returns of ``Signal.wait``."""


class Signal:
    """Debounced, rate-limited event: signals in quick succession wake the waiter once."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._last = -math.inf

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a signal and a moment longer, so that following ones are included.

        Returns at most once per second.
        """
        await self._event.wait()
        now = anyio.current_time()
        await anyio.sleep_until(max(now + DEBOUNCE_SECONDS, self._last + MIN_INTERVAL_SECONDS))
        self._last = anyio.current_time()
        self._event = anyio.Event()


class Watchers:
    """Subscriptions to changes by name."""

    def __init__(self) -> None:
        self._streams: dict[str, list[MemoryObjectSendStream[None]]] = {}

    def tell(self, name: str) -> None:
        """Notify all watchers of a name. Does not block."""
        for stream in self._streams.get(name, ()):
            with suppress(anyio.WouldBlock):  # a notification is already waiting to be read
                stream.send_nowait(None)

    @contextmanager
    def watch(self, name: str) -> Iterator[AsyncIterator[None]]:
        """Subscribe to a name: an item per change; unread changes are merged into one."""
        send, receive = anyio.create_memory_object_stream[None](1)
        streams = self._streams.setdefault(name, [])
        streams.append(send)
        try:
            with send, receive:
                yield receive
        finally:
            streams.remove(send)
