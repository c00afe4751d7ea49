"""Timeouts of tool calls: renewed by progress, paused while the server waits for the client."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class CallTimeouts:
    """Deadlines of the calls in progress on one server.

    Args:
        timeout_seconds: longest time without an answer or progress.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._calls: set[anyio.CancelScope] = set()
        self._num_waiting = 0

    @property
    def num_calls(self) -> int:
        """Number of calls in progress."""
        return len(self._calls)

    @contextmanager
    def call(self) -> Iterator[anyio.CancelScope]:
        """Cancel scope of one call; it expires after ``timeout_seconds`` without progress."""
        with anyio.CancelScope(deadline=self._next_deadline()) as scope:
            self._calls.add(scope)
            try:
                yield scope
            finally:
                self._calls.discard(scope)

    def renew(self, call: anyio.CancelScope) -> None:
        """Move the deadline of a call, since the server reported progress."""
        call.deadline = self._next_deadline()

    @contextmanager
    def paused_for_client_request(self) -> Iterator[None]:
        """Suspend all deadlines while the server waits for the user or the model."""
        self._num_waiting += 1
        self._renew_all()
        try:
            yield
        finally:
            self._num_waiting -= 1
            self._renew_all()

    def _renew_all(self) -> None:
        for call in self._calls:
            self.renew(call)

    def _next_deadline(self) -> float:
        return math.inf if self._num_waiting else anyio.current_time() + self._timeout_seconds
