"""A client's messages over stdio: read where that is possible, and answered where it is not."""

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


class Requests(ReadableStream[_Item]):
    """The stream that a server reads from. What is no message is answered at once (JSON-RPC 2.0,
    section 5.1), so that no client waits for it."""

    def __init__(self, stream: ReadStream[_Item], answers: WriteStream[SessionMessage]) -> None:
        self._stream = stream
        self._answers = answers
        self._mended: deque[SessionMessage] = deque()

    @property
    def last_context(self) -> Context | None:
        """The sender's context variables, which the SDK looks for."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> _Item:
        while not self._mended:
            item = await self._stream.receive()
            if not isinstance(item, ValidationError):
                return item
            line = text_of(item)
            self._mended += map(SessionMessage, read_messages(line, PendingRequests()))
            if not self._mended and line.strip():
                await self._refuse(line)
        return self._mended.popleft()

    async def _refuse(self, line: str) -> None:
        error = (
            ErrorData(code=INVALID_REQUEST, message="Invalid Request: not a JSON-RPC message")
            if is_json(line)
            else ErrorData(code=PARSE_ERROR, message="Parse error: the line is not valid JSON")
        )
        answer = JSONRPCError(jsonrpc="2.0", id=None, error=error)
        await self._answers.send(SessionMessage(answer))

    async def aclose(self) -> None:
        await self._stream.aclose()
