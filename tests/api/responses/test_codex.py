"""What Codex sends beside its function tools: tools of OpenAI's service, grammars, shell items."""

from __future__ import annotations

from typing import Any

import pytest
from api.responses.support import WEATHER, ask, refusal
from api.support import running, scripted

from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import call

HELLO = {"role": "user", "content": "Hello"}
LARK = 'start: "*** Begin Patch" LF\n%import common.LF\n'
NAMED_WEATHER = {"type": "function", "name": "weather"}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": LARK},
}


async def test_tools_of_openais_service_are_left_out_and_named() -> None:
    theirs: list[dict[str, Any]] = [
        {"type": "image_generation", "output_format": "png"},
        {"type": "tool_search"},
        {"type": "local_shell"},
    ]
    model = scripted("Hi.")
    async with running(model) as server:
        response = await ask(server, tools=[*theirs, {**WEATHER, "defer_loading": True}])

    assert [tool.name for tool in model.requests[0].tools] == ["weather"]
    assert [tool["type"] for tool in response["tools"]] == ["function"]
    assert response["kronk"]["notices"] == [
        f"tools.{index}: tools of type {tool['type']} are not available here; the tool is left out"
        for index, tool in enumerate(theirs)
    ]


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview_2025_03_11"])
async def test_a_web_search_is_left_out_where_it_is_not_enabled(kind: str) -> None:
    search = {"type": kind, "external_web_access": True}
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": kind}, NAMED_WEATHER]}
    model = scripted("Hi.", "Hi.")
    async with running(model) as server:
        response = await ask(server, tools=[search, WEATHER])
        await ask(server, tools=[search, WEATHER], tool_choice=allowed)
        refused = await refusal(server, tools=[search, WEATHER], tool_choice={"type": kind})

    assert [tool.name for tool in model.requests[0].tools] == ["weather"]
    assert response["kronk"]["notices"] == [
        "tools.0: web search is not enabled, so the tool is left out; add web_search to tools in "
        "the server's YAML"
    ]
    assert model.requests[1].tool_choice == ToolChoice("auto", allowed=("weather",))
    assert refused == (400, "tool_choice: 'web_search' is not among the tools", "tool_choice")


async def test_what_must_be_called_has_to_be_there() -> None:
    tools = [{"type": "image_generation"}]
    missing = (
        400,
        "tool_choice: tools of type 'image_generation' are not available here",
        "tool_choice",
    )
    async with running(scripted()) as server:
        assert await refusal(server, tools=tools, tool_choice=tools[0]) == missing
        assert (await refusal(server, tools=tools, tool_choice="required"))[0] == 400


async def test_of_the_allowed_tools_those_that_are_there_count() -> None:
    allowed: dict[str, Any] = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "image_generation"}, NAMED_WEATHER],
    }
    model = scripted("Hi.", "Hi.")
    async with running(model) as server:
        await ask(server, tools=[WEATHER], tool_choice=allowed)
        none = {**allowed, "tools": allowed["tools"][:1]}
        await ask(server, tools=[WEATHER], tool_choice=none)

    assert [request.tool_choice for request in model.requests] == [
        ToolChoice("auto", allowed=("weather",)),
        ToolChoice("none"),
    ]


async def test_a_lark_grammar_is_shown_to_the_model() -> None:
    model = scripted(call("apply_patch", input="*** Begin Patch\n"))
    async with running(model) as server:
        response = await ask(server, tools=[PATCH])

    (tool,) = model.requests[0].tools
    assert tool.description == f"Edits files.\nThe input follows this Lark grammar:\n{LARK}"
    assert tool.parameters["properties"] == {"input": {"type": "string"}}
    assert response["output"][0]["input"] == "*** Begin Patch\n"
    assert response["kronk"]["notices"] == [
        "tools.0.format: the Lark grammar is shown to the model, but not enforced inside a call"
    ]


@pytest.mark.parametrize(
    ("items", "name", "arguments", "result"),
    [
        (
            [
                {
                    "type": "local_shell_call",
                    "id": "ls_1",
                    "call_id": "c",
                    "status": "completed",
                    "action": {"type": "exec", "command": ["ls"], "env": {}},
                },
                {"type": "local_shell_call_output", "id": "c", "output": "a.txt"},
            ],
            "local_shell",
            '{"action":{"type":"exec","command":["ls"],"env":{}}}',
            "a.txt",
        ),
        (
            [
                {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
                {
                    "type": "shell_call_output",
                    "call_id": "c",
                    "output": [{"stdout": "a.txt", "outcome": {"type": "exit", "exit_code": 0}}],
                },
            ],
            "shell",
            '{"action":{"commands":["ls"]}}',
            '{"stdout":"a.txt","outcome":{"type":"exit","exit_code":0}}',
        ),
        (
            [
                {
                    "type": "tool_search_call",
                    "call_id": "c",
                    "execution": "client",
                    "arguments": {"query": "maps"},
                },
                {"type": "tool_search_output", "call_id": "c", "tools": []},
            ],
            "tool_search",
            '{"execution":"client","arguments":{"query":"maps"}}',
            '{"tools":[]}',
        ),
        (
            [{"type": "image_generation_call", "id": "c", "status": "completed", "result": "AAAA"}],
            "image_generation",
            "{}",
            "[What was found is not at hand any more.]",
        ),
    ],
    ids=["local_shell", "shell", "tool_search", "image_generation"],
)
async def test_calls_of_its_tools_are_read_with_what_came_of_them(
    items: list[dict[str, Any]], name: str, arguments: str, result: str
) -> None:
    model = scripted("Hi.", "Again.")
    async with running(model) as server:
        response = await ask(server, input=[HELLO, *items])
        await ask(server, input="Go on.", previous_response_id=response["id"])

    read = (
        Message.user("Hello"),
        Message.assistant("", (ToolCall("c", name, arguments),)),
        Message("tool", (TextPart(result),), tool_call_id="c", name=name),
    )
    assert model.requests[0].messages == read
    assert model.requests[1].messages[:3] == read
    assert "kronk" not in response


async def test_a_call_of_its_tools_needs_its_result_too() -> None:
    items = [{"type": "shell_call", "call_id": "c", "action": {}}]
    async with running(scripted()) as server:
        status, words, _ = await refusal(server, input=[HELLO, *items])
        nameless = await refusal(server, input=[{"type": "shell_call", "action": {}}])

    assert (status, words[:32]) == (400, "input: call 'c' of shell has no ")
    assert nameless == (400, "input.0.call_id: Field required", "input.0.call_id")


async def test_a_field_of_an_item_or_a_tool_that_nobody_knows_is_left_out_and_named() -> None:
    model = scripted("Hi.")
    async with running(model) as server:
        response = await ask(
            server, input=[{**HELLO, "origin": "cli"}], tools=[{**WEATHER, "colour": "red"}]
        )

    assert model.requests[0].messages == (Message.user("Hello"),)
    assert response["kronk"]["notices"] == [
        "input.0.origin: unknown field, ignored",
        "tools.0.colour: unknown field, ignored",
    ]
