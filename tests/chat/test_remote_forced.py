"""Required calls from upstreams that enforce them and from those that do not."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import anyio
import pytest
from chat.scripted_upstream import ScriptedUpstream, called, chunk, said
from chat.support import make_tool
from chat.test_remote import COUNTED, deltas_of, plain
from jsonschema import Draft202012Validator
from limits import seconds
from loopback_web import Answer

from kronk_agent import Message
from kronk_agent.chat.remote import RemoteChatModel
from kronk_agent.errors import UpstreamError
from kronk_agent.messages import (
    Delta,
    Finish,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import collect

ADD = make_tool("add", "Add.", properties={"a": {"type": "integer"}}, required=["a"])
_NODES: dict[str, Any] = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}
}
LIST = make_tool(
    "list",
    properties={"node": {"$ref": "#/$defs/node"}},
    required=["node"],
    **_NODES,
)
REQUIRED = ChatRequest(
    messages=(Message.system("Be brief."), Message.user("1 + 1?")),
    tools=(ADD, LIST),
    tool_choice=ToolChoice("required"),
)
NAMED = replace(REQUIRED, tool_choice=ToolChoice("named", "add"))

PROBED = called(("set_lamp", '{"colour": "teal"}'))
IGNORED = said("Hello! How can I help?")
REFUSED = Answer(b'{"error": {"message": "tool_choice: not supported"}}', status=400)
PROBED_BY_FORMAT = said(
    '{"tool_calls": [{"name": "set_lamp", ', '"arguments": {"colour": "teal"}}]}'
)
"""What is answered to the small request that finds out."""


def one_call(arguments: str, *, name: str = "add", usage: Usage = COUNTED) -> list[Delta]:
    return [
        ToolCallStart(0, "id0", name),
        ToolCallArguments(0, arguments),
        ToolCallEnd(0),
        Finish("tool_calls", usage),
    ]


async def test_the_upstream_is_probed_once_and_then_trusted(
    scripted: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.will_answer(PROBED, called(("add", '{"a": 1}')), called(("add", '{"a": 2}')))

    with caplog.at_level(logging.INFO):
        async with RemoteChatModel.open(scripted.upstream()) as model:
            first = plain(await collect(model.stream(REQUIRED)))
            second = plain(await collect(model.stream(REQUIRED)))

    assert first == one_call('{"a": 1}')
    assert second == one_call('{"a": 2}')
    assert [body["tool_choice"] for body in scripted.bodies] == ["required"] * 3
    assert [body["messages"][-1]["content"] for body in scripted.bodies] == [
        "Hello!",
        "1 + 1?",
        "1 + 1?",
    ]
    assert "tool_choice required is enforced by tool_choice" in caplog.text


async def test_concurrent_requests_share_one_probe(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(PROBED, called(("add", '{"a": 1}')), called(("add", '{"a": 1}')))

    async with RemoteChatModel.open(scripted.upstream()) as model:
        with anyio.fail_after(seconds(10)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(collect, model.stream(REQUIRED))
                tasks.start_soon(collect, model.stream(REQUIRED))

    assert len(scripted.bodies) == 3


async def test_text_beside_a_required_call_is_dropped(scripted: ScriptedUpstream) -> None:
    answer = [chunk(reasoning_content="Hm."), chunk(content="\n"), *called(("add", '{"a": 1}'))]
    scripted.will_answer(PROBED, answer)

    assert await deltas_of(scripted.upstream(), REQUIRED) == [
        ReasoningDelta("Hm."),
        *one_call('{"a": 1}'),
    ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said("2"), "No tool was called"),
        (called(("sub", "{}")), "There is no tool 'sub'"),
        (called(("add", '{"a": "x"}')), "add.a: "),
        (called(("add", '{"a"')), "the arguments of add are not JSON"),
    ],
)
async def test_an_upstream_that_stops_enforcing_is_an_error(
    scripted: ScriptedUpstream, answer: list[dict[str, Any]], words: str
) -> None:
    scripted.will_answer(PROBED, answer)

    async with RemoteChatModel.open(scripted.upstream()) as model:
        with pytest.raises(UpstreamError, match="did not make the required call: " + words):
            await collect(model.stream(REQUIRED))


async def test_a_call_that_was_cut_off_ends_the_turn_for_length(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(PROBED, called(("add", '{"a"'), finish_reason="length"))

    assert await deltas_of(scripted.upstream(), REQUIRED) == [
        ToolCallStart(0, "id0", "add"),
        ToolCallArguments(0, '{"a"'),
        Finish("length", COUNTED),
    ]


@pytest.mark.parametrize("probe", [IGNORED, REFUSED])
async def test_a_response_format_may_enforce_what_tool_choice_does_not(
    scripted: ScriptedUpstream, probe: Any
) -> None:
    calls = [{"name": "add", "arguments": {"a": 1}}, {"name": "list", "arguments": {"node": {}}}]
    scripted.will_answer(probe, PROBED_BY_FORMAT, said(json.dumps({"tool_calls": calls})))

    deltas = await deltas_of(scripted.upstream(), REQUIRED)

    assert deltas == [
        *one_call('{"a": 1}')[:3],
        ToolCallStart(1, "id1", "list"),
        ToolCallArguments(1, '{"node": {}}'),
        ToolCallEnd(1),
        Finish("tool_calls", COUNTED),
    ]
    body = scripted.bodies[-1]
    assert "tools" not in body
    assert "tool_choice" not in body
    instructions = body["messages"][0]["content"]
    assert instructions.startswith(
        "Be brief.\n\nYou can use these tools:\n\nadd: Add.\n- a: integer"
    )


@pytest.mark.parametrize(
    ("answer", "is_valid"),
    [
        ({"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}, True),
        ({"tool_calls": [{"name": "list", "arguments": {"node": {"next": {}}}}]}, True),
        ({"tool_calls": [{"name": "list", "arguments": {"node": {"next": 5}}}]}, False),
        ({"tool_calls": [{"name": "add", "arguments": {"a": "1"}}]}, False),
        ({"tool_calls": [{"name": "add", "arguments": {"node": {}}}]}, False),
        ({"tool_calls": [{"name": "sub", "arguments": {}}]}, False),
        ({"tool_calls": []}, False),
        ({}, False),
    ],
)
async def test_the_response_format_is_the_schema_of_the_calls(
    scripted: ScriptedUpstream, answer: dict[str, Any], is_valid: bool
) -> None:
    made = said('{"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}')
    scripted.will_answer(IGNORED, PROBED_BY_FORMAT, made)
    await deltas_of(scripted.upstream(), REQUIRED)

    format = scripted.bodies[-1]["response_format"]

    assert format["type"] == "json_schema"
    assert Draft202012Validator(format["json_schema"]["schema"]).is_valid(answer) is is_valid


async def test_only_the_named_tool_is_in_the_response_format(scripted: ScriptedUpstream) -> None:
    made = said('{"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}')
    scripted.will_answer(IGNORED, PROBED_BY_FORMAT, made)

    assert await deltas_of(scripted.upstream(), NAMED) == one_call('{"a": 1}')
    schema = scripted.bodies[-1]["response_format"]["json_schema"]["schema"]
    assert list(schema["$defs"]) == ["add"]
    assert schema["properties"]["tool_calls"]["maxItems"] == 1


async def test_without_enforcement_the_model_is_asked_once_more(
    scripted: ScriptedUpstream,
) -> None:
    wrong = called(("add", '{"a": "one"}'))
    scripted.will_answer(IGNORED, IGNORED, wrong, called(("add", '{"a": 1}')))

    deltas = await deltas_of(scripted.upstream(), REQUIRED)

    assert deltas == one_call('{"a": 1}', usage=COUNTED + COUNTED)
    again = scripted.bodies[-1]
    assert [tool["function"]["name"] for tool in again["tools"]] == ["add"]
    assert again["temperature"] == 0
    assert again["messages"][-2] == {"role": "assistant", "content": 'add({"a": "one"})'}
    assert again["messages"][-1]["content"].startswith("add.a: ")
    assert again["messages"][-1]["content"].endswith("Call add now, and write nothing else.")


async def test_a_valid_call_needs_no_retry(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(IGNORED, REFUSED, called(("add", '{"a": 1}')))

    assert await deltas_of(scripted.upstream(), REQUIRED) == one_call('{"a": 1}')


async def test_a_model_that_will_not_call_is_an_error(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(IGNORED, IGNORED, said("2"), said("It is 2."))

    async with RemoteChatModel.open(scripted.upstream()) as model:
        with pytest.raises(UpstreamError, match="No tool was called"):
            await collect(model.stream(REQUIRED))


async def test_a_probe_that_fails_for_another_reason_is_repeated(
    scripted: ScriptedUpstream,
) -> None:
    down = Answer(b"", status=500)
    scripted.will_answer(down, PROBED, called(("add", '{"a": 1}')))

    async with RemoteChatModel.open(scripted.upstream()) as model:
        with pytest.raises(UpstreamError, match="answers 500"):
            await collect(model.stream(REQUIRED))
        assert plain(await collect(model.stream(REQUIRED))) == one_call('{"a": 1}')


async def test_an_upstream_without_usage_is_logged_once_per_turn(
    scripted: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.will_answer(said("Hi")[:-1])

    assert (await deltas_of(scripted.upstream()))[-1] == Finish("stop", Usage())
    assert "reports no token counts" in caplog.text
