"""The wire to a server: its process or its URL, and what can be seen on it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import httpx2
from anyio import CancelScope, to_thread
from mcp import StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCResponse
from mcp.types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic import ValidationError

from kronk_agent.config.mcp_server import Transport
from kronk_agent.config.schema import McpServerConfig
from kronk_agent.host.diagnostics.log import ServerLog
from kronk_agent.host.results.tool_list import readable
from kronk_agent.host.transport.environment import added_environment
from kronk_agent.host.transport.evidence import Evidence, current_exchange
from kronk_agent.host.transport.lines import UTF_8_LINES, register

if TYPE_CHECKING:
    from contextvars import Context

    from mcp.client._transport import ReadStream, TransportStreams

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Size of one streamable-HTTP event. The SDK's own limit, 1 MiB, is less than a screenshot."""

_NOISE_LENGTH = 10_000

# Reading has no limit: an event stream may be silent for hours, and calls bound themselves.
_HTTP_TIMEOUT = httpx2.Timeout(30.0, read=None)


class Wire:
    """The way to one server, opened once, and what was seen on it."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        *,
        transport: Transport,
        log: ServerLog,
        auth: httpx2.Auth | None = None,
    ) -> None:
        self._name = name
        self._config = config
        self._transport = transport
        self.log = log
        self._auth = auth
        self.evidence = Evidence()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[TransportStreams, None]:
        """The streams to and from the server."""
        opened = {"stdio": self._stdio, "http": self._http, "sse": self._sse}[self._transport]
        async with opened() as (read, write):
            yield _Watched(self._name, read, self.evidence), write

    @asynccontextmanager
    async def _stdio(self) -> AsyncGenerator[TransportStreams, None]:
        assert self._config.command is not None
        register()
        program = StdioServerParameters(
            command=self._config.command,
            args=list(self._config.args),
            env=await to_thread.run_sync(added_environment, self._config, os.environ),
            cwd=self._config.cwd,
            encoding=UTF_8_LINES,
            # A server that prints another encoding makes noise; that does not end the connection.
            encoding_error_handler="replace",
        )
        # A process that is being started when the connection is given up would be left behind:
        # asyncio does not wait for it. Starting is quick, and ending it is the SDK's work.
        with self.log.open() as stderr, CancelScope(shield=True) as starting:
            async with stdio_client(program, errlog=stderr) as streams:
                starting.shield = False
                yield streams

    @asynccontextmanager
    async def _http(self) -> AsyncGenerator[TransportStreams, None]:
        assert self._config.url is not None
        async with (
            self._http_client() as http,
            streamable_http_client(
                self._config.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES
            ) as streams,
        ):
            yield streams

    @asynccontextmanager
    async def _sse(self) -> AsyncGenerator[TransportStreams, None]:
        assert self._config.url is not None
        async with sse_client(self._config.url, httpx_client_factory=self._http_client) as streams:
            yield streams

    def _http_client(self, *_: Any, **__: Any) -> httpx2.AsyncClient:
        """Ours, whatever headers and timeouts the SDK would give it."""
        return httpx2.AsyncClient(
            headers=self._config.headers,
            timeout=_HTTP_TIMEOUT,
            auth=self._auth,
            event_hooks={"response": [self._note_status]},
        )

    async def _note_status(self, response: httpx2.Response) -> None:
        if not response.is_error:
            return
        self.evidence.http_status = response.status_code
        # The session is over: a new one is needed. Older servers have it in the address.
        is_over = response.status_code == 404 and (
            MCP_SESSION_ID in response.request.headers or self._transport == "sse"
        )
        if exchange := current_exchange.get():
            exchange.http_status = response.status_code
            exchange.was_not_taken = is_over
        if is_over:
            self.evidence.lost.set()


class _Watched:
    """The stream from the server, with tools made readable, watched for noise and for its end."""

    def __init__(
        self, name: str, stream: ReadStream[SessionMessage | Exception], evidence: Evidence
    ) -> None:
        self._name = name
        self._stream = stream
        self._evidence = evidence
        self._version = LATEST_MODERN_VERSION

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
            case SessionMessage(message=JSONRPCResponse(result={"protocolVersion": _})):
                self._version = LATEST_HANDSHAKE_VERSION
            case SessionMessage(message=JSONRPCResponse(result={"tools": list(tools)} as result)):
                # In a thread because there may be a thousand.
                result["tools"] = await to_thread.run_sync(
                    readable, self._name, tools, self._version
                )
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
