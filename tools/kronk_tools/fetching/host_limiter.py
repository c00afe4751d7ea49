"""Limits on concurrent requests and request rate, per host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio

_MAX_IDLE_HOSTS = 256


class HostLimiter:
    """Limits requests to the same host: how many at a time, and how quickly one after another.

    Args:
        max_at_once: concurrent requests per host.
        delay_seconds: shortest time between the starts of two requests.
    """

    def __init__(self, *, max_at_once: int = 4, delay_seconds: float = 0.0) -> None:
        self._max_at_once = max_at_once
        self._delay_seconds = delay_seconds
        self._hosts: dict[tuple[Hashable, ...], _HostState] = {}

    @asynccontextmanager
    async def enter(self, *host: Hashable) -> AsyncIterator[None]:
        """Wait until a request to the host may start; leaving the block frees its slot."""
        state = self._hosts.get(host)
        if state is None:
            self._forget_idle()
            state = self._hosts[host] = _HostState(anyio.Semaphore(self._max_at_once))
        state.num_requests += 1
        try:
            async with state.slots:
                now = anyio.current_time()
                start = max(now, state.next_start)
                state.next_start = start + self._delay_seconds
                await anyio.sleep(start - now)
                yield
        finally:
            state.num_requests -= 1

    def _forget_idle(self) -> None:
        if len(self._hosts) < _MAX_IDLE_HOSTS:
            return
        now = anyio.current_time()
        self._hosts = {
            name: host
            for name, host in self._hosts.items()
            if host.num_requests or host.next_start > now
        }


class _HostState:
    def __init__(self, slots: anyio.Semaphore) -> None:
        self.slots = slots
        self.num_requests = 0
        """Number of requests, including waiting ones."""
        self.next_start = 0.0
