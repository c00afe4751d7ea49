"""An LRU pool of loaded models with a memory budget; models in use are never unloaded."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import anyio

from kronk_agent.errors import ModelError

logger = logging.getLogger(__name__)

_MIB = 1 << 20


class Closable(Protocol):
    """A resource that can be closed."""

    async def close(self) -> None:
        """Free the resource."""


T = TypeVar("T", bound=Closable)


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    """A loaded resource, or one that is loading and has no value yet."""

    size: int
    value: T | None = None
    num_users: int = 0
    last_used: int = 0
    kept_seconds: float = math.inf
    """Seconds from the last use until it is closed."""
    idle_since: float = 0.0
    """Time of the last use, by the event loop's clock; valid while it is idle."""
    failure: ModelError | None = None

    @property
    def is_idle(self) -> bool:
        """True if loaded and not in use."""
        return self.value is not None and self.num_users == 0

    @property
    def expires_at(self) -> float:
        since = self.idle_since if self.is_idle else anyio.current_time()
        return since + self.kept_seconds


@dataclass(slots=True, eq=False)
class Pool(Generic[T]):
    """LRU pool with a byte budget; for use on one event loop.

    Loading one resource never blocks the use of another. If the budget is exhausted, callers wait
    for resources in use to be released, in FIFO order so that none starves.
    """

    limit_bytes: int | None
    """The budget; None means no limit."""
    is_limit_strict: bool = False
    """Reject resources larger than the limit; if False, load them alone."""
    _entries: dict[Hashable, _Entry[T]] = field(default_factory=dict)
    _bytes: int = 0
    """Size of all entries, including those that are being closed."""
    _waiting: list[object] = field(default_factory=list)
    """Tickets of callers that wait for memory, or behind one that does; FIFO."""
    _change: anyio.Event = field(default_factory=anyio.Event)
    """Set and replaced whenever something changes."""
    _clock: itertools.count[int] = field(default_factory=itertools.count)

    def loaded(self, key: Hashable) -> T | None:
        """Return the loaded resource, or None; it may be closed at any time."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    @asynccontextmanager
    async def use(
        self, key: Hashable, size: int, open: Callable[[], Awaitable[T]]
    ) -> AsyncIterator[T]:
        """Load the resource if necessary, and keep it loaded inside the block.

        Args:
            key: the key of the resource.
            size: its size in bytes.
            open: loads it; never called concurrently for one key.

        Raises:
            ModelError: loading failed, or the resource exceeds the limit.
        """
        if self.is_limit_strict and self.limit_bytes is not None and size > self.limit_bytes:
            raise ModelError(
                f"{key}: needs about {size // _MIB} MiB, but engine.memory_mib is "
                f"{self.limit_bytes // _MIB}: raise it or lower engine.context_length"
            )
        entry = await self._acquire(key, size, open)
        assert entry.value is not None
        try:
            yield entry.value
        finally:
            entry.num_users -= 1
            entry.last_used = next(self._clock)
            entry.idle_since = anyio.current_time()
            self._changed()

    @contextmanager
    def peek(self, key: Hashable) -> Iterator[T | None]:
        """Yield the loaded resource, kept loaded inside the block, or None.

        This does not count as a use for the LRU order.
        """
        entry = self._entries.get(key)
        if entry is None or entry.value is None:
            yield None
            return
        entry.num_users += 1
        try:
            yield entry.value
        finally:
            entry.num_users -= 1
            self._changed()

    def keep(self, key: Hashable, seconds: float) -> None:
        """Set how long after its last use an entry is closed; applies until it is closed.

        Args:
            key: the entry's key; does nothing if it is not loaded.
            seconds: at least 0; infinity, the default, keeps it while there is room.
        """
        if (entry := self._entries.get(key)) is not None:
            entry.kept_seconds = seconds
            self._changed()

    def seconds_left(self, key: Hashable) -> float | None:
        """Seconds until an entry is closed if it is not used again; None if it is not loaded."""
        entry = self._entries.get(key)
        if entry is None or entry.value is None:
            return None
        return max(0.0, entry.expires_at - anyio.current_time())

    async def close_expired(self) -> None:
        """Close entries whose time since the last use has passed; runs until cancelled."""
        while True:
            change = self._change
            idle = {key: entry.expires_at for key, entry in self._entries.items() if entry.is_idle}
            now = anyio.current_time()
            for key, expires_at in idle.items():
                if expires_at <= now:
                    logger.info("unloading %s: its keep_alive has passed since its last use", key)
                    await self.unload(key)
            with anyio.CancelScope(deadline=min(idle.values(), default=math.inf)):
                await change.wait()

    async def unload(self, key: Hashable) -> bool:
        """Close the resource unless it is in use; returns True if it was closed."""
        entry = self._entries.get(key)
        if entry is None or not entry.is_idle:
            return False
        del self._entries[key]
        with anyio.CancelScope(shield=True):
            await self._close(entry)
        return True

    async def close(self) -> None:
        """Close all resources, even if in use."""
        with anyio.CancelScope(shield=True):
            for entry in [*self._entries.values()]:
                if entry.value is not None:
                    await entry.value.close()
        self._entries.clear()

    async def _acquire(
        self, key: Hashable, size: int, open: Callable[[], Awaitable[T]]
    ) -> _Entry[T]:
        """Return a loaded entry with one more user."""
        ticket = object()
        try:
            while True:
                entry = self._entries.get(key)
                may_proceed = not self._waiting or self._waiting[0] is ticket
                if entry is None and may_proceed and (idle := self._enough_idle(size)) is not None:
                    self._release(ticket)
                    return await self._load(key, size, open, idle)
                if entry is not None and entry.value is not None and may_proceed:
                    entry.num_users += 1
                    return entry
                if entry is not None and entry.value is None:
                    self._release(ticket)  # its memory is already reserved
                elif ticket not in self._waiting:
                    self._waiting.append(ticket)
                await self._change.wait()
                if entry is not None and entry.failure is not None:
                    raise ModelError(str(entry.failure)) from entry.failure
        finally:
            self._release(ticket)

    def _enough_idle(self, size: int) -> list[Hashable] | None:
        """Return the idle entries to close so that ``size`` fits, least recently used first.

        Returns:
            None if closing all idle entries is not enough.
        """
        if self.limit_bytes is None:
            return []
        excess = self._bytes + size - self.limit_bytes
        idle = sorted(
            (key for key, entry in self._entries.items() if entry.is_idle),
            key=lambda key: self._entries[key].last_used,
        )
        chosen: list[Hashable] = []
        for key in idle:
            if excess <= 0:
                break
            excess -= self._entries[key].size
            chosen.append(key)
        is_alone = len(chosen) == len(self._entries) and self._bytes == sum(
            entry.size for entry in self._entries.values()
        )
        return chosen if excess <= 0 or is_alone else None

    async def _load(
        self,
        key: Hashable,
        size: int,
        open: Callable[[], Awaitable[T]],
        idle: list[Hashable],
    ) -> _Entry[T]:
        # Remove all of them before the first is closed, so that none is used any more.
        unloaded = {other: self._entries.pop(other) for other in idle}
        entry = self._entries[key] = _Entry[T](size, num_users=1)
        self._bytes += size
        try:
            with anyio.CancelScope(shield=True):
                for other, unloaded_entry in unloaded.items():
                    logger.info("unloading %s to make room for %s", other, key)
                    await self._close(unloaded_entry)
            entry.value = await open()
        except BaseException as error:
            # Waiters get the error; if loading was only cancelled, they retry themselves.
            entry.failure = error if isinstance(error, ModelError) else None
            del self._entries[key]
            self._bytes -= size
            raise
        finally:
            self._changed()
        return entry

    async def _close(self, entry: _Entry[T]) -> None:
        assert entry.value is not None
        try:
            await entry.value.close()
        finally:
            self._bytes -= entry.size
            self._changed()

    def _release(self, ticket: object) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()
