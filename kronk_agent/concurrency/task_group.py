from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.abc import TaskGroup


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    """A task group that lets the first error out as it was raised, without a group around it."""
    try:
        async with create_task_group() as group:
            yield group
    except BaseExceptionGroup as wrapped:
        # Only the group around it is ours, and says nothing; its cause is its own, and it may be
        # a group that somebody meant.
        error = wrapped.exceptions[0]
        raise error from error.__cause__
