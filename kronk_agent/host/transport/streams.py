"""Base classes with the parts of the SDK's stream protocols common to all streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio

T_co = TypeVar("T_co", covariant=True)


class ClosableStream(ABC):
    """A stream that is closed on leaving its ``async with`` block."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the stream. May be called again."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class ReadableStream(ClosableStream, Generic[T_co]):
    """A stream that is read item by item, or with ``async for``."""

    @abstractmethod
    async def receive(self) -> T_co:
        """Receive the next item.

        Raises:
            anyio.EndOfStream: the stream has ended.
        """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
