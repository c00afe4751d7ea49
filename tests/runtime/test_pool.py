"""What is kept in memory, and what makes room for it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from limits import seconds

from kronk_agent.errors import ModelError
from kronk_agent.runtime.model_pool import Pool


class Thing:
    """Something that can be opened and closed, and knows what happened."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self._log = log

    async def close(self) -> None:
        self._log.append(f"close {self.name}")


class Shelf:
    """A pool of things, each of its size in bytes, and what happened to them."""

    def __init__(self, limit: int | None, *, strict: bool = False) -> None:
        self.pool = Pool[Thing](limit, is_limit_strict=strict)
        self.log: list[str] = []
        self.gates: dict[str, anyio.Event] = {}
        """Things that are open only once this is set."""
        self.failures: dict[str, Exception] = {}

    @asynccontextmanager
    async def use(self, name: str, size: int = 1) -> AsyncIterator[Thing]:
        async def open() -> Thing:
            self.log.append(f"open {name}")
            if name in self.gates:
                await self.gates[name].wait()
            if name in self.failures:
                raise self.failures[name]
            return Thing(name, self.log)

        async with self.pool.use(name, size, open) as thing:
            yield thing

    async def touch(self, name: str, size: int = 1) -> None:
        async with self.use(name, size):
            pass


async def cancel_after(shelf: Shelf, event: str, scope: anyio.CancelScope) -> None:
    """Cancel a scope once an event is in the log."""
    while event not in shelf.log:
        await anyio.lowlevel.checkpoint()
    scope.cancel()


async def test_what_is_loaded_stays_while_there_is_room() -> None:
    shelf = Shelf(limit=2)

    for name in ("a", "b", "a", "b"):
        await shelf.touch(name)

    assert shelf.log == ["open a", "open b"]


async def test_what_was_used_least_recently_makes_room() -> None:
    shelf = Shelf(limit=2)

    for name in ("a", "b", "a", "c", "a", "b"):
        await shelf.touch(name)

    assert shelf.log == ["open a", "open b", "close b", "open c", "close c", "open b"]


async def test_as_much_is_unloaded_as_is_needed_and_no_more() -> None:
    shelf = Shelf(limit=4)
    for name in ("a", "b", "c"):
        await shelf.touch(name)

    await shelf.touch("big", size=3)

    assert shelf.log[3:] == ["close a", "close b", "open big"]
    assert shelf.pool.loaded("c") is not None


async def test_what_is_in_use_is_waited_for_and_not_closed() -> None:
    shelf = Shelf(limit=1)

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group, shelf.use("a"):
            group.start_soon(shelf.touch, "b")
            await anyio.wait_all_tasks_blocked()
            assert shelf.log == ["open a"]

    assert shelf.log == ["open a", "close a", "open b"]


async def test_whoever_comes_later_waits_behind_those_who_find_no_room() -> None:
    shelf = Shelf(limit=1)

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group, shelf.use("a"):
            group.start_soon(shelf.touch, "b")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(shelf.touch, "a")
            await anyio.wait_all_tasks_blocked()

    assert shelf.log == ["open a", "close a", "open b", "close b", "open a"]


async def test_whoever_gives_up_waiting_holds_nobody_up() -> None:
    shelf = Shelf(limit=1)

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group, shelf.use("a"):
            group.start_soon(shelf.touch, "b")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        async with shelf.use("a"):
            await shelf.touch("a")

    assert shelf.log == ["open a"]


async def test_loading_one_does_not_hold_up_the_use_of_another() -> None:
    shelf = Shelf(limit=None)
    shelf.gates["slow"] = anyio.Event()
    await shelf.touch("a")

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(shelf.touch, "slow")
            await anyio.wait_all_tasks_blocked()
            await shelf.touch("a")
            await shelf.touch("b")
            shelf.gates["slow"].set()

    assert shelf.log == ["open a", "open slow", "open b"]


async def test_those_who_wait_for_one_that_cannot_be_opened_are_told() -> None:
    shelf = Shelf(limit=None)
    shelf.gates["bad"] = anyio.Event()
    shelf.failures["bad"] = ModelError("it is damaged")
    told: list[str] = []

    async def try_it() -> None:
        with pytest.raises(ModelError) as caught:
            await shelf.touch("bad")
        told.append(str(caught.value))

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(try_it)
            await anyio.wait_all_tasks_blocked()
            shelf.gates["bad"].set()

    assert (told, shelf.log) == (["it is damaged"] * 3, ["open bad"])
    del shelf.failures["bad"]
    await shelf.touch("bad")


async def test_a_load_that_is_given_up_is_begun_again_by_those_who_wait() -> None:
    shelf = Shelf(limit=1)
    shelf.gates["a"] = anyio.Event()

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as first:
                first.start_soon(shelf.touch, "a")
                await anyio.wait_all_tasks_blocked()
                group.start_soon(shelf.touch, "a")
                await anyio.wait_all_tasks_blocked()
                first.cancel_scope.cancel()
            await anyio.wait_all_tasks_blocked()
            shelf.gates["a"].set()
        await shelf.touch("b")

    assert shelf.log == ["open a", "open a", "close a", "open b"]


async def test_what_is_over_the_limit_by_itself_is_loaded_alone_or_refused() -> None:
    loose, strict = Shelf(limit=1), Shelf(limit=2**20, strict=True)
    await loose.touch("a")

    await loose.touch("big", size=2)
    with pytest.raises(ModelError, match=r"big: needs about 2 MiB, but engine\.memory_mib is 1"):
        await strict.touch("big", size=2**21)

    assert loose.log == ["open a", "close a", "open big"]
    assert strict.log == []


async def test_an_entry_is_closed_when_its_time_since_the_last_use_has_passed() -> None:
    shelf = Shelf(limit=None)
    await shelf.touch("long")
    shelf.pool.keep("long", 3600)

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group, shelf.use("a"):
            group.start_soon(shelf.pool.close_expired)
            shelf.pool.keep("a", 0)
            await anyio.wait_all_tasks_blocked()
            assert shelf.log == ["open long", "open a"]
            group.start_soon(cancel_after, shelf, "close a", group.cancel_scope)

    assert shelf.log == ["open long", "open a", "close a"]
    assert 3600 - seconds(5) < (shelf.pool.seconds_left("long") or 0) <= 3600
    assert shelf.pool.seconds_left("a") is None


async def test_a_use_restarts_the_time_and_unloading_resets_it() -> None:
    shelf = Shelf(limit=None)
    shelf.pool.keep("a", 1)
    await shelf.touch("a")
    before = shelf.pool.seconds_left("a")
    shelf.pool.keep("a", 3600)
    async with shelf.use("a"):
        during = shelf.pool.seconds_left("a")

    await shelf.pool.unload("a")
    await shelf.touch("a")
    after = shelf.pool.seconds_left("a")

    assert (before, after) == (math.inf, math.inf)
    assert during == pytest.approx(3600)


async def test_closing_closes_all() -> None:
    shelf = Shelf(limit=None)
    await shelf.touch("a")

    async with shelf.use("b"):
        await shelf.pool.close()

    assert shelf.log == ["open a", "open b", "close a", "close b"]


async def test_what_is_looked_at_is_not_opened_and_not_closed_meanwhile() -> None:
    shelf = Shelf(limit=1)
    with shelf.pool.peek("a") as nothing:
        assert nothing is None
    await shelf.touch("a")

    async with anyio.create_task_group() as tasks:
        with shelf.pool.peek("a") as thing:
            assert thing is not None
            tasks.start_soon(shelf.touch, "b")
            await anyio.wait_all_tasks_blocked()
            assert shelf.log == ["open a"]

    assert shelf.log == ["open a", "close a", "open b"]
