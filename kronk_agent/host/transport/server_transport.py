"""Transport to a server, by process or URL, with its diagnostics."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import httpx2
from anyio import CancelScope, create_task_group, to_thread
from mcp import StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.mcp_server import Transport
from kronk_agent.host.diagnostics.log import ServerLog
from kronk_agent.host.transport.connection_state import ConnectionState
from kronk_agent.host.transport.environment import added_environment
from kronk_agent.host.transport.http import MAX_EVENT_BYTES, McpHttpClient
from kronk_agent.host.transport.incoming import IncomingStream
from kronk_agent.host.transport.lines import UTF_8_LINES, register
from kronk_agent.host.transport.pending import OutgoingStream, PendingRequests
from kronk_agent.host.transport.watchdog import watched

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams


class ServerTransport:
    """Transport to one server, opened once, with its diagnostics."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        *,
        transport: Transport,
        log: ServerLog,
        auth: httpx2.Auth | None = None,
    ) -> None:
        self._config = config
        self._transport = transport
        self.log = log
        self._auth = auth
        self.connection_state = ConnectionState()
        self._pending = PendingRequests()
        self._incoming = IncomingStream(name, self.connection_state, self._pending)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[TransportStreams, None]:
        """Open the streams to and from the server."""
        opened = {"stdio": self._stdio, "http": self._http, "sse": self._sse}[self._transport]
        with closing(self._incoming):
            async with opened() as (read, write), create_task_group() as tasks:
                tasks.start_soon(self._incoming.pump, read)
                yield self._incoming, OutgoingStream(write, self._pending)
                tasks.cancel_scope.cancel()

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
            # Output in another encoding is treated as noise and does not end the connection.
            encoding_error_handler="replace",
        )
        # A process that is starting while the connection is cancelled would leak, because asyncio
        # does not wait for it. Starting is quick, and the SDK terminates the process.
        with (
            watched(program) as guarded,
            self.log.open() as stderr,
            CancelScope(shield=True) as starting,
        ):
            async with stdio_client(guarded, errlog=stderr) as streams:
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

    def _http_client(self, *_: Any, **__: Any) -> McpHttpClient:
        """Our client, whatever headers and timeouts the SDK passes."""
        return McpHttpClient(
            headers=self._config.headers,
            auth=self._auth,
            connection_state=self.connection_state,
            pending=self._pending,
            deliver_answer=self._incoming.inject if self._transport == "sse" else None,
        )
