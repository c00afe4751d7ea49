"""Abandoned opening of a resource."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import anyio
import pytest
from limits import seconds

from kronk_agent.concurrency.opening import Opening


@dataclass
class Door:
    is_closed: bool = False

    def close_now(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("is_early", [True, False])
def test_an_abandoned_resource_is_closed(is_early: bool) -> None:
    opening = Opening(Door)
    if is_early:
        opening.abandon()
    door = opening.run()
    opening.abandon()

    assert door.is_closed


async def test_cancelling_does_not_wait_and_closes_the_resource_later() -> None:
    doors: list[Door] = []
    is_started, may_open, is_closed = anyio.Event(), threading.Event(), threading.Event()

    class SlowDoor(Door):
        def close_now(self) -> None:
            is_closed.set()

    def open_slowly() -> Door:
        anyio.from_thread.run_sync(is_started.set)
        may_open.wait(seconds(10))
        doors.append(SlowDoor())
        return doors[0]

    with anyio.fail_after(seconds(5)):
        async with anyio.create_task_group() as group:
            group.start_soon(Opening(open_slowly).result)
            await is_started.wait()
            group.cancel_scope.cancel()
    assert doors == []

    may_open.set()
    assert is_closed.wait(seconds(10))


async def test_a_failure_to_open_is_raised() -> None:
    def fail() -> Door:
        raise OSError("locked")

    with pytest.raises(OSError, match="locked"):
        await Opening(fail).result()
