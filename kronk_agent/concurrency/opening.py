"""Cancellable open of a resource in a thread, which itself cannot be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from anyio import to_thread


class _Closable(Protocol):
    def close_now(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Opening(Generic[T]):
    """A resource being opened in a thread. If abandoned, it is closed once it is open.

    Args:
        open_now: opens the resource; blocks.
    """

    def __init__(self, open_now: Callable[[], T]) -> None:
        self._open_now = open_now
        self._lock = threading.Lock()
        self._opened: T | None = None
        self._is_abandoned = False

    async def result(self) -> T:
        """Open the resource in a thread. Cancellation returns at once and abandons it."""
        try:
            return await to_thread.run_sync(self.run, abandon_on_cancel=True)
        except BaseException:
            self.abandon()
            raise

    def run(self) -> T:
        """Open the resource on the calling thread; closes it if it was abandoned meanwhile."""
        opened = self._open_now()
        with self._lock:
            self._opened = opened
            is_wanted = not self._is_abandoned
        if not is_wanted:
            opened.close_now()
        return opened

    def abandon(self) -> None:
        """Close the resource, now or once it is open. May be called from any thread."""
        with self._lock:
            self._is_abandoned = True
            opened = self._opened
        if opened is not None:
            opened.close_now()
