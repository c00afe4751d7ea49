"""A client's messages over stdio; invalid ones are repaired or answered with an error."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from kronk_agent.host.transport.messages import is_json, read_messages, text_of
from kronk_agent.host.transport.pending import PendingRequests
from kronk_agent.host.transport.streams import ReadableStream

if TYPE_CHECKING:
    from contextvars import Context

    from mcp.shared._stream_protocols import ReadStream, WriteStream

_Item: TypeAlias = SessionMessage | Exception


class ClientMessages(ReadableStream[_Item]):
    """The stream that a server reads. Invalid messages are answered at once.

    See JSON-RPC 2.0, section 5.1; a client must not wait for an answer forever.
    """

    def __init__(self, stream: ReadStream[_Item], answers: WriteStream[SessionMessage]) -> None:
        self._stream = stream
        self._answers = answers
        self._recovered: deque[SessionMessage] = deque()

    @property
    def last_context(self) -> Context | None:
        """The sender's context variables, which the SDK reads."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> _Item:
        """Return the next message."""
        while not self._recovered:
            item = await self._stream.receive()
            if not isinstance(item, ValidationError):
                return item
            line = text_of(item)
            self._recovered += map(SessionMessage, read_messages(line, PendingRequests()))
            if not self._recovered and line.strip():
                await self._reject(line)
        return self._recovered.popleft()

    async def _reject(self, line: str) -> None:
        error = (
            ErrorData(code=INVALID_REQUEST, message="Invalid Request: not a JSON-RPC message")
            if is_json(line)
            else ErrorData(code=PARSE_ERROR, message="Parse error: the line is not valid JSON")
        )
        answer = JSONRPCError(jsonrpc="2.0", id=None, error=error)
        await self._answers.send(SessionMessage(answer))

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
