from __future__ import annotations

import math

from kronk_agent.host.tools.definitions import ToolDefinition, to_tools
from kronk_agent.messages import JsonObject
from kronk_agent.testing import invoke
from kronk_agent.tools import Tool, ToolContext, ToolOutput


async def _call(name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
    return ToolOutput.of(name)


def _definition(name: str, description: str | None = None) -> ToolDefinition:
    schema: JsonObject = {"type": "object", "properties": {"a": {"description": "x\u202ey"}}}
    return ToolDefinition(name, description, schema)


def test_a_tool_says_only_what_can_be_seen_and_bounds_itself() -> None:
    (tool,) = to_tools("fs", [_definition("read", "Reads.\u200b\U000e0041")], _call)

    assert tool == Tool(
        name="fs__read",
        description="Reads.",
        parameters={"type": "object", "properties": {"a": {"description": "xy"}}},
        call=tool.call,
        strict=False,
        timeout_seconds=math.inf,
    )


async def test_tools_are_called_by_the_names_their_server_knows() -> None:
    tools = to_tools("fs", [_definition("read.file"), _definition("read file")], _call)

    outputs = [await invoke(tool) for tool in tools]

    assert outputs == [ToolOutput.of("read.file"), ToolOutput.of("read file")]


def test_of_two_tools_with_one_name_the_first_is_taken() -> None:
    tools = to_tools("fs", [_definition("read", "first"), _definition("read", "second")], _call)

    assert [tool.description for tool in tools] == ["first"]


def test_a_tool_without_a_description_is_described_by_its_name() -> None:
    assert [tool.description for tool in to_tools("fs", [_definition("read")], _call)] == ["read"]
