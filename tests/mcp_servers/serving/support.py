"""A small registry on our server layer, and ways to connect to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import mcp.types as t

from kronk_agent.messages import JsonObject
from kronk_mcp_servers.serving import (
    LayeredServer,
    Registry,
    RequestContext,
    ServedTool,
    build_server,
)

Work: TypeAlias = Callable[[JsonObject, RequestContext], Awaitable[t.CallToolResult]]


def served(
    work: Work,
    *,
    name: str = "work",
    schema: JsonObject | None = None,
    task_after_seconds: float | None = None,
    is_task_only: bool = False,
) -> ServedTool:
    return ServedTool(
        definition=t.Tool(name=name, input_schema={"type": "object", **(schema or {})}),
        call=work,
        task_after_seconds=task_after_seconds,
        is_task_only=is_task_only,
    )


def server_of(*tools: ServedTool) -> LayeredServer:
    return build_server(Registry(tools=lambda: tools), name="test")


def said(words: str) -> t.CallToolResult:
    return t.CallToolResult(content=[t.TextContent(text=words)])
