"""Opening something in a thread, which nothing can stop, for a task, which may give up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from anyio import to_thread


class _Closable(Protocol):
    def close_now(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Opening(Generic[T]):
    """What is being opened; closed again as soon as it is there when nobody waits for it."""

    def __init__(self, open_now: Callable[[], T]) -> None:
        self._open_now = open_now
        self._lock = threading.Lock()
        self._opened: T | None = None
        self._is_abandoned = False

    async def result(self) -> T:
        """Open it in a thread; to be cancelled costs no time."""
        try:
            return await to_thread.run_sync(self.run, abandon_on_cancel=True)
        except BaseException:
            self.abandon()
            raise

    def run(self) -> T:
        """The same, blocking the thread it is called on."""
        opened = self._open_now()
        with self._lock:
            self._opened = opened
            is_wanted = not self._is_abandoned
        if not is_wanted:
            opened.close_now()
        return opened

    def abandon(self) -> None:
        """Nobody wants it any more, be it open already or not."""
        with self._lock:
            self._is_abandoned = True
            opened = self._opened
        if opened is not None:
            opened.close_now()
