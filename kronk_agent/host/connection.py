from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import anyio
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import CallToolResult, Implementation, Tool, ToolListChangedNotification
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from kronk_agent import __version__
from kronk_agent.config.schema import McpServerConfig
from kronk_agent.host.evidence import Evidence
from kronk_agent.host.log import ServerLog
from kronk_agent.host.transport import open_transport
from kronk_agent.messages import JsonObject

Mode: TypeAlias = Literal["auto", "legacy", "2026-07-28"]
"""How the protocol is found: by asking, by the handshake of before 2026, or not at all."""

_DEBOUNCE_SECONDS = 0.1
_LISTEN_AGAIN_SECONDS = 5.0


@asynccontextmanager
async def connect(
    name: str, config: McpServerConfig, mode: Mode, evidence: Evidence, log: ServerLog
) -> AsyncGenerator[Connection, None]:
    """A connection past its handshake. Everything it raises may be wrapped in exception groups."""
    tools_changed = ToolsChanged()
    client = Client(
        open_transport(name, config, evidence, log),
        mode=mode,
        message_handler=tools_changed.on_message,
        client_info=Implementation(name="kronk-agent", version=__version__),
        cache=None,  # tools are listed when they change, and must then be fresh
    )
    async with client:
        yield Connection(client, evidence, tools_changed)


class ToolsChanged:
    """A signal that the server has other tools now; many in a row are one."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    async def on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.set()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        await anyio.sleep(_DEBOUNCE_SECONDS)
        self._event = anyio.Event()


class Connection:
    """One live connection to a server, used from any task while it lasts."""

    def __init__(self, client: Client, evidence: Evidence, tools_changed: ToolsChanged) -> None:
        self._client = client
        self._tools_changed = tools_changed
        self.evidence = evidence

    @property
    def protocol_version(self) -> str:
        return self._client.protocol_version

    async def list_tools(self) -> list[Tool]:
        """All pages of the server's tools."""
        tools: list[Tool] = []
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None or cursor in seen:
                return tools
            seen.add(cursor)

    async def call_tool(
        self, tool: str, arguments: JsonObject, on_progress: ProgressFnT
    ) -> CallToolResult:
        """Call the tool; a call that is cancelled is cancelled on the server too."""
        return await self._client.call_tool(tool, arguments, progress_callback=on_progress)

    async def follow_changes(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Run until cancelled, calling back when the server's tools have changed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                await self._tools_changed.wait()
                await on_change()

    async def _listen(self) -> None:
        """Since 2026 servers tell of changes only to those who listen."""
        tools = self._client.server_capabilities.tools
        if self.protocol_version not in MODERN_PROTOCOL_VERSIONS or not (
            tools and tools.list_changed
        ):
            return
        while True:
            try:
                async with self._client.listen(tools_list_changed=True) as events:
                    self._tools_changed.set()  # what changed before, nobody told
                    async for _ in events:
                        self._tools_changed.set()
            except SubscriptionLost:
                pass
            except MCPError:
                return  # refused
            await anyio.sleep(_LISTEN_AGAIN_SECONDS)  # no stream lasts forever
