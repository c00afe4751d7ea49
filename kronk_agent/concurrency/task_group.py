"""Task group that raises a task's error without wrapping it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.abc import TaskGroup


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    """Open a task group that raises the first error itself, not in an exception group.

    Raises:
        BaseException: the first error of the block or its tasks.
    """
    try:
        async with create_task_group() as group:
            yield group
    except BaseExceptionGroup as wrapped:
        # Unwrap only the outer group, which the task group added: the error inside may be a group
        # raised on purpose. Its cause is kept.
        error = wrapped.exceptions[0]
        raise error from error.__cause__
