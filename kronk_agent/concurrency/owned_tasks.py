"""A task group that any task may open and any other may close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup


class OwnedTasks:
    """Background tasks in a task group that lives in a task of its own.

    anyio lets only the task that entered a task group leave it. IPython and pytest-asyncio open a
    context in one task and close it in another, so the group needs a task that does both.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._group: TaskGroup | None = None
        self._owner: asyncio.Task[None] | None = None
        self._is_open = anyio.Event()
        self._is_closing = anyio.Event()
        self._close_seconds = 0.0

    async def open(self) -> None:
        """Get ready to start tasks; to be called once."""
        assert self._owner is None, "it is opened once"
        # No task group can own the task that owns this one: it would be bound to its own task too.
        # `close` waits for it, and the end of the event loop cancels it.
        self._owner = asyncio.create_task(self._own(), name=self._name)  # noqa: TID251
        try:
            await self._is_open.wait()
        except BaseException:
            self._owner.cancel()
            raise

    def start_soon(self, function: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Start a task; its error cancels the others and is raised by ``close``."""
        assert self._group is not None, "it is opened first"
        self._group.start_soon(function, name=name)

    async def close(self, seconds: float) -> None:
        """Wait for the tasks to end, and cancel those that have not within ``seconds``.

        Cancelled itself, it cancels them at once; either way none is left when it returns.

        Raises:
            BaseExceptionGroup: the errors of the tasks.
        """
        assert self._owner is not None, "it is opened first"
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
