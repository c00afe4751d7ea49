"""A task group that is opened in one task and closed in another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anyio
import pytest

from kronk_agent.concurrency.owned_tasks import OwnedTasks


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Runs each coroutine in a task of its own, as a notebook runs each cell."""
    with asyncio.Runner() as runner:
        yield runner


class Sleeper:
    """Runs until it is cancelled or told to end."""

    def __init__(self) -> None:
        self.may_end = anyio.Event()
        self.ending = ""

    async def run(self) -> None:
        try:
            await self.may_end.wait()
            self.ending = "ended"
        except anyio.get_cancelled_exc_class():
            self.ending = "cancelled"
            raise


async def opened(*sleepers: Sleeper) -> OwnedTasks:
    tasks = OwnedTasks("test")
    await tasks.open()
    for sleeper in sleepers:
        tasks.start_soon(sleeper.run, name="sleeper")
    await anyio.wait_all_tasks_blocked()
    return tasks


def test_another_task_may_close_it(runner: asyncio.Runner) -> None:
    sleeper = runner.run(_new())
    tasks = runner.run(opened(sleeper))
    sleeper.may_end.set()

    runner.run(tasks.close(60))

    assert sleeper.ending == "ended"


def test_what_does_not_end_in_time_is_cancelled(runner: asyncio.Runner) -> None:
    sleeper = runner.run(_new())
    tasks = runner.run(opened(sleeper))

    runner.run(tasks.close(0.01))

    assert sleeper.ending == "cancelled"


async def test_to_cancel_the_closing_cancels_the_tasks() -> None:
    sleeper = Sleeper()
    tasks = await opened(sleeper)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await tasks.close(60)

    assert scope.cancelled_caught
    assert sleeper.ending == "cancelled"


async def test_an_error_of_a_task_cancels_the_others_and_is_raised_on_closing() -> None:
    async def fail() -> None:
        raise ValueError("no")

    sleeper = Sleeper()
    tasks = await opened(sleeper)
    tasks.start_soon(fail, name="failing")

    with pytest.raises(ExceptionGroup) as caught:
        await tasks.close(60)
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('no')"]
    assert sleeper.ending == "cancelled"


def test_the_end_of_the_event_loop_ends_tasks_that_nobody_closed() -> None:
    with asyncio.Runner() as runner:
        sleeper = runner.run(_new())
        tasks = runner.run(opened(sleeper))

    assert sleeper.ending == "cancelled"
    del tasks


async def _new() -> Sleeper:
    return Sleeper()
