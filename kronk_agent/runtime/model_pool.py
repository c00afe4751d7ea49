"""What is loaded: opened when it is wanted, kept while there is room, never closed while in use."""

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
    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    """Something that is loaded, or being loaded while it has no value yet."""

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
        return self.value is not None and self.num_users == 0

    @property
    def expires_at(self) -> float:
        since = self.idle_since if self.is_idle else anyio.current_time()
        return since + self.kept_seconds


@dataclass(slots=True, eq=False)
class Pool(Generic[T]):
    """Keeps what was opened, up to so many bytes; to be used on one event loop.

    Loading one never holds up the use of another. Who finds no room waits for those in use to be
    let go; whoever comes later waits behind, so that nobody waits for ever.
    """

    limit_bytes: int | None
    """None is no limit."""
    is_limit_strict: bool = False
    """Refuse what is over the limit by itself. If not, it is loaded when nothing else is."""
    _entries: dict[Hashable, _Entry[T]] = field(default_factory=dict)
    _bytes: int = 0
    """Of all entries, and of those that are being closed."""
    _waiting: list[object] = field(default_factory=list)
    """Those that wait for room, or behind one that does, in their order."""
    _change: anyio.Event = field(default_factory=anyio.Event)
    """Set, and replaced, whenever something changes."""
    _clock: itertools.count[int] = field(default_factory=itertools.count)

    def loaded(self, key: Hashable) -> T | None:
        """What is loaded under this key, if it is; it may be closed at any time."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    @asynccontextmanager
    async def use(
        self, key: Hashable, size: int, open: Callable[[], Awaitable[T]]
    ) -> AsyncIterator[T]:
        """What is under this key, opened if need be, and not closed as long as the block lasts.

        Args:
            key: what it is known by.
            size: bytes it takes.
            open: opens it; called at most once at a time.

        Raises:
            ModelError: it cannot be opened, or takes more than there may be.
        """
        if self.is_limit_strict and self.limit_bytes is not None and size > self.limit_bytes:
            raise ModelError(
                f"{key}: takes about {size // _MIB} MiB, and engine.memory_mib is "
                f"{self.limit_bytes // _MIB}: raise it, or set a smaller engine.context_length"
            )
        entry = await self._enter(key, size, open)
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
        """What is loaded under this key, and not closed as long as the block lasts; None where
        nothing is. To look at it makes it no more recently used."""
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
        """Close what is loaded under this key, unless it is in use; True if it was closed."""
        entry = self._entries.get(key)
        if entry is None or not entry.is_idle:
            return False
        del self._entries[key]
        with anyio.CancelScope(shield=True):
            await self._close(entry)
        return True

    async def close(self) -> None:
        """Close all, whether in use or not."""
        with anyio.CancelScope(shield=True):
            for entry in [*self._entries.values()]:
                if entry.value is not None:
                    await entry.value.close()
        self._entries.clear()

    async def _enter(self, key: Hashable, size: int, open: Callable[[], Awaitable[T]]) -> _Entry[T]:
        """An entry that is loaded, with one more user."""
        ticket = object()
        try:
            while True:
                entry = self._entries.get(key)
                may_go_on = not self._waiting or self._waiting[0] is ticket
                if entry is None and may_go_on and (idle := self._enough_idle(size)) is not None:
                    self._leave(ticket)
                    return await self._load(key, size, open, idle)
                if entry is not None and entry.value is not None and may_go_on:
                    entry.num_users += 1
                    return entry
                if entry is not None and entry.value is None:
                    self._leave(ticket)  # what is being loaded has its room already
                elif ticket not in self._waiting:
                    self._waiting.append(ticket)
                await self._change.wait()
                if entry is not None and entry.failure is not None:
                    raise ModelError(str(entry.failure)) from entry.failure
        finally:
            self._leave(ticket)

    def _enough_idle(self, size: int) -> list[Hashable] | None:
        """What to close so that there is room, least recently used first; None where all that is
        idle would not do."""
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
        # Nobody finds these any more, before the first of them is closed.
        unloaded = {other: self._entries.pop(other) for other in idle}
        entry = self._entries[key] = _Entry[T](size, num_users=1)
        self._bytes += size
        try:
            with anyio.CancelScope(shield=True):
                for other, gone in unloaded.items():
                    logger.info("unloading %s to make room for %s", other, key)
                    await self._close(gone)
            entry.value = await open()
        except BaseException as error:
            # Whoever waits for it is told; if it was only given up, they try themselves.
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

    def _leave(self, ticket: object) -> None:
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()
