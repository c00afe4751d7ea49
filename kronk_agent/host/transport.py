"""The wire to a server: its process or its URL, and what can be seen on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCResponse
from pydantic import ValidationError

from kronk_agent.config.schema import McpServerConfig
from kronk_agent.host.definitions import readable
from kronk_agent.host.evidence import Evidence
from kronk_agent.host.log import ServerLog

if TYPE_CHECKING:
    from contextvars import Context

    from mcp.client._transport import ReadStream, TransportStreams

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Size of one HTTP event. The SDK's own limit, 1 MiB, is less than a screenshot."""

_NOISE_LENGTH = 80

# Reading has no limit: an event stream may be silent for hours, and calls bound themselves.
_HTTP_TIMEOUT = httpx2.Timeout(30.0, read=None)


@asynccontextmanager
async def open_transport(
    name: str, config: McpServerConfig, evidence: Evidence, log: ServerLog
) -> AsyncGenerator[TransportStreams, None]:
    """The streams to and from the server, gathering evidence."""
    opened = _open_stdio(config, log) if config.url is None else _open_http(config, evidence)
    async with opened as (read, write):
        yield _Watched(name, read, evidence), write


@asynccontextmanager
async def _open_stdio(
    config: McpServerConfig, log: ServerLog
) -> AsyncGenerator[TransportStreams, None]:
    assert config.command is not None
    program = StdioServerParameters(
        command=config.command, args=list(config.args), env=config.env, cwd=config.cwd
    )
    with log.open() as stderr:
        async with stdio_client(program, errlog=stderr) as streams:
            yield streams


@asynccontextmanager
async def _open_http(
    config: McpServerConfig, evidence: Evidence
) -> AsyncGenerator[TransportStreams, None]:
    assert config.url is not None

    async def note_status(response: httpx2.Response) -> None:
        if response.is_error:
            evidence.http_status = response.status_code
        if response.status_code == 404 and MCP_SESSION_ID in response.request.headers:
            evidence.lost.set()  # the session is over: a new one is needed

    async with (
        httpx2.AsyncClient(
            headers=config.headers, timeout=_HTTP_TIMEOUT, event_hooks={"response": [note_status]}
        ) as http,
        streamable_http_client(
            config.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES
        ) as streams,
    ):
        yield streams


class _Watched:
    """The stream from the server, with tools made readable, watched for noise and for its end."""

    def __init__(
        self, name: str, stream: ReadStream[SessionMessage | Exception], evidence: Evidence
    ) -> None:
        self._name = name
        self._stream = stream
        self._evidence = evidence

    @property
    def last_context(self) -> Context | None:
        """The sender's context variables, which the SDK looks for."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        try:
            item = await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._evidence.lost.set()
            raise
        match item:
            case SessionMessage(message=JSONRPCResponse(result={"tools": list(tools)} as result)):
                result["tools"] = readable(self._name, tools)
            case ValidationError() if self._evidence.noise is None:
                self._evidence.noise = str(item.errors()[0]["input"])[:_NOISE_LENGTH]
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()
