"""Async close of resources whose close blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread


class ClosedInThread(ABC):
    """Base of engines, which own a worker thread and a model. ``async with`` closes them."""

    @abstractmethod
    def close_now(self) -> None:
        """End running work with an error and free the model. Idempotent.

        Blocks the calling thread for at most one step of the worker.
        """

    async def close(self) -> None:
        """Call ``close_now`` in a thread; cancellation does not interrupt it."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self.close_now)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
