"""The parts of the SDK's stream protocols that are the same for every stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio

T_co = TypeVar("T_co", covariant=True)


class Closing(ABC):
    """A stream that is closed where an ``async with`` block around it ends."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close it. It may be called again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class Reading(Closing, Generic[T_co]):
    """A stream that is read item by item, or by ``async for``."""

    @abstractmethod
    async def receive(self) -> T_co:
        """The next item.

        Raises:
            anyio.EndOfStream: there is none.
        """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
