"""How long calls may take: a server must answer or show progress, but not while it waits for us."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class CallTimeouts:
    """The deadlines of the calls that one server is busy with."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._calls: set[anyio.CancelScope] = set()
        self._num_waiting = 0

    @property
    def num_calls(self) -> int:
        """Calls that are under way."""
        return len(self._calls)

    @contextmanager
    def call(self) -> Iterator[anyio.CancelScope]:
        """A scope that ends when the server was silent for too long."""
        with anyio.CancelScope(deadline=self._next_deadline()) as scope:
            self._calls.add(scope)
            try:
                yield scope
            finally:
                self._calls.discard(scope)

    def renew(self, call: anyio.CancelScope) -> None:
        """The server showed that it is at work."""
        call.deadline = self._next_deadline()

    @contextmanager
    def paused_for_client_request(self) -> Iterator[None]:
        """The server waits for a person, or for our model: no call of it runs out of time."""
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
