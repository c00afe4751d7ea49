"""Task group that one task may open and another may close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup


class OwnedTasks:
    """Background tasks in a task group that has a task of its own.

    anyio requires that the task that enters a task group also leaves it. IPython and pytest-asyncio
    open a context in one task and close it in another, so a task of its own does both.

    Args:
        name: name of that task.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._group: TaskGroup | None = None
        self._owner: asyncio.Task[None] | None = None
        self._is_open = anyio.Event()
        self._is_closing = anyio.Event()
        self._close_seconds = 0.0

    async def open(self) -> None:
        """Open the task group. Call it once."""
        assert self._owner is None, "already opened"
        # No task group can own this task: it, too, would be bound to the task that entered it.
        # `close` waits for this task, and the end of the event loop cancels it.
        self._owner = asyncio.create_task(self._own(), name=self._name)  # noqa: TID251
        try:
            await self._is_open.wait()
        except BaseException:
            self._owner.cancel()
            raise

    def start_soon(self, function: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Start a task. Its error cancels the others and is raised by ``close``."""
        assert self._group is not None, "not opened"
        self._group.start_soon(function, name=name)

    async def close(self, seconds: float) -> None:
        """Wait for the tasks to end, and cancel those that still run after ``seconds``.

        If this call is cancelled, the tasks are cancelled at once. In any case all have ended when
        it returns or raises.

        Raises:
            BaseExceptionGroup: errors of the tasks.
        """
        assert self._owner is not None, "not opened"
        self._close_seconds = seconds
        self._is_closing.set()
        try:
            await asyncio.wait([self._owner])
        except anyio.get_cancelled_exc_class():
            if self._group is not None:
                self._group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._owner])
            raise
        if not self._owner.cancelled():
            self._owner.result()

    async def _own(self) -> None:
        async with anyio.create_task_group() as self._group:
            self._is_open.set()
            await self._is_closing.wait()
            self._group.cancel_scope.deadline = anyio.current_time() + self._close_seconds
