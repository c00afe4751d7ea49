"""Not too much at once for one site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio

_MAX_IDLE_HOSTS = 256


class HostGate:
    """Lets requests to the same host through few at a time, and not too quickly one by one."""

    def __init__(self, *, max_at_once: int = 4, delay_seconds: float = 0.0) -> None:
        self._max_at_once = max_at_once
        self._delay_seconds = delay_seconds
        self._hosts: dict[tuple[Hashable, ...], _Host] = {}

    @asynccontextmanager
    async def enter(self, *host: Hashable) -> AsyncIterator[None]:
        """Wait for the turn; leaving the block makes room for the next."""
        known = self._hosts.get(host)
        if known is None:
            self._forget_idle()
            known = self._hosts[host] = _Host(anyio.Semaphore(self._max_at_once))
        known.num_inside += 1
        try:
            async with known.places:
                now = anyio.current_time()
                start = max(now, known.next_start)
                known.next_start = start + self._delay_seconds
                await anyio.sleep(start - now)
                yield
        finally:
            known.num_inside -= 1

    def _forget_idle(self) -> None:
        if len(self._hosts) < _MAX_IDLE_HOSTS:
            return
        now = anyio.current_time()
        self._hosts = {
            name: host
            for name, host in self._hosts.items()
            if host.num_inside or host.next_start > now
        }


class _Host:
    def __init__(self, places: anyio.Semaphore) -> None:
        self.places = places
        self.num_inside = 0
        """Those that wait are counted too."""
        self.next_start = 0.0
