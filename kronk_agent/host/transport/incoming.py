"""Incoming message stream of a server: repaired, and monitored for noise and its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio import to_thread
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCResponse
from mcp.types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic import ValidationError

from kronk_agent.host.results.answers import normalize_result
from kronk_agent.host.transport.connection_state import ConnectionState
from kronk_agent.host.transport.messages import read_messages, text_of, unreadable_answer
from kronk_agent.host.transport.pending import PendingRequests
from kronk_agent.host.transport.streams import ReadableStream

if TYPE_CHECKING:
    from contextvars import Context

    from mcp.client._transport import ReadStream

_NOISE_LENGTH = 10_000
_Item: TypeAlias = SessionMessage | Exception
_ENDS = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError)


class IncomingStream(ReadableStream[_Item]):
    """The stream that the SDK's client reads instead of the transport's own.

    ``pump`` moves the messages; ``inject`` adds answers that arrived another way.
    """

    def __init__(
        self, server: str, connection_state: ConnectionState, pending: PendingRequests
    ) -> None:
        self._server = server
        self._connection_state = connection_state
        self._pending = pending
        self._version = LATEST_MODERN_VERSION
        streams = anyio.create_memory_object_stream[tuple[_Item, "Context | None"]](0)
        self._send, self._receive = streams
        self.last_context: Context | None = None
        """Context variables of the sender, which the SDK looks for."""

    async def pump(self, stream: ReadStream[_Item]) -> None:
        """Pass messages on until the stream ends or is no longer read."""
        try:
            async with self._send:
                while True:
                    item = await stream.receive()
                    context: Context | None = getattr(stream, "last_context", None)
                    for each in await self._readable(item):
                        await self._send.send((each, context))
        except _ENDS:
            pass
        finally:
            self._connection_state.lost.set()

    async def inject(self, message: JSONRPCMessage) -> None:
        """Add an answer that arrived outside the stream; dropped once the stream has ended."""
        try:
            for each in await self._valid(message):
                await self._send.send((each, None))
        except _ENDS:
            return

    async def _readable(self, item: _Item) -> Iterable[_Item]:
        match item:
            case SessionMessage():
                return await self._valid(item.message, item)
            case ValidationError():
                text = text_of(item)
                messages = read_messages(text, self._pending)
                if not messages and (error := unreadable_answer(text, self._pending)):
                    messages = [error]
                if not messages and self._connection_state.noise is None:
                    self._connection_state.noise = text[:_NOISE_LENGTH]
                return [each for message in messages for each in await self._valid(message)]
            case _:
                return [item]

    async def _valid(
        self, message: JSONRPCMessage, wrapped: SessionMessage | None = None
    ) -> list[SessionMessage]:
        """The message, with its result normalized to the protocol."""
        match message:
            case JSONRPCResponse():
                if "protocolVersion" in message.result:
                    self._version = LATEST_HANDSHAKE_VERSION
                method = self._pending.method_of(message.id)
                self._pending.note_answered(message.id)
                if method is not None:
                    arguments = (self._server, method, message.result, self._version)
                    message.result = (
                        await to_thread.run_sync(normalize_result, *arguments)
                        if method == "tools/list"  # may list a thousand tools
                        else normalize_result(*arguments)
                    )
            case JSONRPCError():
                if message.id is None:
                    message.id = self._pending.only()
                if message.id is not None:
                    self._pending.note_answered(message.id)
            case _:
                pass
        return [wrapped or SessionMessage(message)]

    async def receive(self) -> _Item:
        """Receive the next message.

        Raises:
            anyio.EndOfStream: the connection has ended.
        """
        item, self.last_context = await self._receive.receive()
        return item

    def close(self) -> None:
        """Close both ends, even if nothing was ever read."""
        self._send.close()
        self._receive.close()

    async def aclose(self) -> None:
        """Close the receiving end."""
        await self._receive.aclose()
