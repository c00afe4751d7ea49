"""Serves tools of kronk-agent as MCP tools."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

import anyio
import mcp.types as t
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from kronk_agent.agent.approval import Pending
from kronk_agent.agent.tool_calls.tool_executor import ToolExecutor
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.messages import (
    AudioPart,
    Event,
    ImagePart,
    JsonObject,
    Part,
    TextPart,
    ToolCall,
    ToolProgress,
    ToolResult,
)
from kronk_agent.tools import Tool
from kronk_mcp_servers.serving.registry import ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

OpenExecutor: TypeAlias = Callable[[RequestContext, MemoryObjectSendStream[Event]], ToolExecutor]
"""Creates the executor of one call, which sends progress events to the stream."""

_EVENT_BUFFER_SIZE = 16
_TASK_AFTER_SECONDS = 5.0
"""Most calls finish before a client would poll a task."""


def served(tool: Tool, open_executor: OpenExecutor) -> ServedTool:
    """Return the tool as an MCP tool with its schemas, annotations and progress.

    Args:
        tool: a tool that can be called here.
        open_executor: creates the executor of each call, with its policies.
    """
    title = tool.annotations.get("title")
    definition = t.Tool(
        name=tool.name,
        title=title if isinstance(title, str) else None,
        description=tool.description,
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=t.ToolAnnotations.model_validate(tool.annotations)
        if tool.annotations
        else None,
    )

    async def call_tool(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        """Call the tool."""
        return to_wire(await _answer(tool, arguments, call, open_executor))

    return ServedTool(definition=definition, call=call_tool, task_after_seconds=_TASK_AFTER_SECONDS)


async def _answer(
    tool: Tool, arguments: JsonObject, call: RequestContext, open_executor: OpenExecutor
) -> ToolResult:
    """Call the tool as the agent does: with policy, timeout, and failures as results."""
    send, receive = anyio.create_memory_object_stream[Event](_EVENT_BUFFER_SIZE)
    executor = open_executor(call, send)
    wanted = ToolCall("call", tool.name, json.dumps(arguments))
    async with open_task_group() as tasks:
        tasks.start_soon(_report_progress, receive, call)
        with send:
            refused = await executor.authorize(wanted, {tool.name: tool})
            assert not isinstance(refused, Pending), "the user answers within the call"
            if refused is not None:
                return refused
            return (await executor.execute(wanted, {tool.name: tool})).result


async def _report_progress(events: MemoryObjectReceiveStream[Event], call: RequestContext) -> None:
    with events:
        async for event in events:
            if isinstance(event, ToolProgress):
                await call.report_progress(event.progress, event.total, event.message)


def to_wire(result: ToolResult) -> t.CallToolResult:
    """Convert the result to MCP types."""
    return t.CallToolResult(
        content=blocks(result.content),
        structured_content=result.structured,
        is_error=result.is_error,
    )


def blocks(parts: Sequence[Part]) -> list[t.ContentBlock]:
    """Convert message parts to MCP content blocks."""
    return [_block(part) for part in parts]


def _block(part: Part) -> t.ContentBlock:
    match part:
        case TextPart():
            return t.TextContent(text=part.text)
        case ImagePart():
            return t.ImageContent(data=_base64(part.data), mime_type=part.media_type)
        case AudioPart():
            return t.AudioContent(data=_base64(part.data), mime_type=part.media_type)
        case _:
            assert_never(part)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
