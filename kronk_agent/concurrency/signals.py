"""Telling tasks that something changed."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectSendStream

DEBOUNCE_SECONDS = 0.1
MIN_INTERVAL_SECONDS = 1.0
"""Between two answers to a signal that never stops."""


class Signal:
    """Many in a row are one, and answered at most once a second."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._last = -math.inf

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Until it was set, and a moment longer: more may follow."""
        await self._event.wait()
        now = anyio.current_time()
        await anyio.sleep_until(max(now + DEBOUNCE_SECONDS, self._last + MIN_INTERVAL_SECONDS))
        self._last = anyio.current_time()
        self._event = anyio.Event()


class Watchers:
    """Those who want to know when something by a name changes."""

    def __init__(self) -> None:
        self._streams: dict[str, list[MemoryObjectSendStream[None]]] = {}

    def tell(self, name: str) -> None:
        for stream in self._streams.get(name, ()):
            with suppress(anyio.WouldBlock):  # one change is waiting to be read already
                stream.send_nowait(None)

    @contextmanager
    def watch(self, name: str) -> Iterator[AsyncIterator[None]]:
        send, receive = anyio.create_memory_object_stream[None](1)
        streams = self._streams.setdefault(name, [])
        streams.append(send)
        try:
            with send, receive:
                yield receive
        finally:
            streams.remove(send)
