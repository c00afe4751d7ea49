from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.abc import TaskGroup

from kronk_agent.errors import unwrap


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    """A task group that lets the first error out as it was raised, not wrapped in a group."""
    try:
        async with create_task_group() as group:
            yield group
    except BaseExceptionGroup as wrapped:
        error = unwrap(wrapped)
        # The cause it has is its own; the group around it is ours and says nothing.
        raise error from error.__cause__
