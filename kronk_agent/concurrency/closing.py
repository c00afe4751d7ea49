"""Closing what takes a moment to close, from an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread


class ClosedInThread(ABC):
    """Something with a worker and a model of its own, which ``async with`` closes."""

    @abstractmethod
    def close_now(self) -> None:
        """End what is running with an error and free the model, blocking this thread for one
        step of the worker at most. It may be called again."""

    async def close(self) -> None:
        """The same in a thread, whatever is cancelled meanwhile."""
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
