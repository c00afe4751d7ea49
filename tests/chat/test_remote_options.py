"""Response formats, thinking and allowed tools for each type of upstream."""

# ruff: noqa: E501  # the tables have one case a line

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from chat.scripted_upstream import ScriptedUpstream, called, said
from chat.support import make_tool
from chat.test_remote import COUNTED, deltas_of

from kronk_agent import Message, tool
from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.chat.remote import RemoteChatModel, Upstream
from kronk_agent.chat.remote.request import left_out, request_body
from kronk_agent.chat.remote.server_profiles import UpstreamType
from kronk_agent.errors import InvalidRequestError, UpstreamError
from kronk_agent.messages import Finish, JsonObject, Notice, TextDelta, ToolCallEnd
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, SamplingParams, ToolChoice
from kronk_agent.testing import collect
from kronk_agent.tools import StaticToolset

ASK = ChatRequest(messages=(Message.user("Hello"),))
ADD = make_tool("add")
SUB = make_tool("sub")
SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
AS_SCHEMA = ResponseFormat(type="json_schema", schema=SCHEMA)
AS_REGEX = ResponseFormat(type="regex", pattern="[ab]+")
AS_GBNF = ResponseFormat(type="gbnf", pattern='root ::= "a"')
AS_LARK = ResponseFormat(type="lark", pattern='start: "a"')
SCHEMA_SENT = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
}


@tool
def add(a: int) -> int:
    """Add one."""
    return a + 1


def upstream(type: UpstreamType) -> Upstream:
    return Upstream(url="http://x/v1", model="m", type=type)


def sent(request: ChatRequest, type: UpstreamType) -> dict[str, Any]:
    """What this request sends beside what a plain one does."""
    plain = request_body(ASK, upstream(type))
    return {k: v for k, v in request_body(request, upstream(type)).items() if plain.get(k) != v}


@pytest.mark.parametrize(
    ("format", "type", "fields"),
    [
        (ResponseFormat(), "vllm", {}),
        (ResponseFormat(type="json_object"), "compatible", {"response_format": {"type": "json_object"}}),
        (AS_SCHEMA, "openai", SCHEMA_SENT),
        (AS_SCHEMA, "vllm", SCHEMA_SENT),
        (AS_SCHEMA, "sglang", SCHEMA_SENT),
        (AS_SCHEMA, "llama-server", SCHEMA_SENT),
        (AS_REGEX, "vllm", {"structured_outputs": {"regex": "[ab]+"}}),
        (AS_REGEX, "sglang", {"regex": "[ab]+"}),
        (AS_GBNF, "vllm", {"structured_outputs": {"grammar": 'root ::= "a"'}}),
        (AS_GBNF, "sglang", {"ebnf": 'root ::= "a"'}),
        (AS_GBNF, "llama-server", {"grammar": 'root ::= "a"'}),
        (AS_LARK, "vllm", {"structured_outputs": {"grammar": 'start: "a"'}}),
    ],
)  # fmt: skip
def test_a_response_format_is_written_for_each_upstream(
    format: ResponseFormat, type: UpstreamType, fields: dict[str, Any]
) -> None:
    assert sent(replace(ASK, response_format=format), type) == fields


@pytest.mark.parametrize(
    ("format", "type"),
    [
        (AS_REGEX, "openai"),
        (AS_REGEX, "llama-server"),
        (AS_GBNF, "compatible"),
        (AS_LARK, "sglang"),
        (AS_LARK, "llama-server"),
    ],
)
def test_an_unsupported_response_format_is_refused_by_name(
    format: ResponseFormat, type: UpstreamType
) -> None:
    with pytest.raises(InvalidRequestError, match=f"do not support {format.type}") as told:
        sent(replace(ASK, response_format=format), type)
    assert told.value.param == "response_format"


@pytest.mark.parametrize("type", ["vllm", "sglang", "llama-server"])
def test_a_response_format_with_optional_tools_is_refused_if_unsupported(
    type: UpstreamType,
) -> None:
    request = replace(ASK, tools=(ADD,), response_format=AS_SCHEMA)

    with pytest.raises(InvalidRequestError, match="set tool_choice to none"):
        sent(request, type)
    assert sent(replace(request, tool_choice=ToolChoice("none")), type) == SCHEMA_SENT
    assert sent(request, "openai")["response_format"] == SCHEMA_SENT["response_format"]


def test_a_turn_that_must_call_has_no_response_format() -> None:
    request = replace(
        ASK, tools=(ADD,), tool_choice=ToolChoice("required"), response_format=AS_REGEX
    )

    assert sent(request, "vllm").keys() == {"tools", "tool_choice", "parallel_tool_calls"}


async def test_an_answer_in_the_response_format_passes(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(said('{"a"', ": 1}"))

    deltas = await deltas_of(scripted.upstream(), replace(ASK, response_format=AS_SCHEMA))

    assert deltas == [TextDelta('{"a": 1}'), Finish("stop", COUNTED)]


@pytest.mark.parametrize(
    ("format", "text", "words"),
    [
        (ResponseFormat(type="json_object"), "Sure!", "it is not JSON: "),
        (ResponseFormat(type="json_object"), "[1]", "it is no JSON object"),
        (AS_SCHEMA, '{"a": "x"}', r"\.a: 'x' is not of type 'integer'"),
        (AS_SCHEMA, "{}", "'a' is a required property"),
    ],
)
async def test_an_answer_not_in_the_response_format_is_an_error(
    scripted: ScriptedUpstream, format: ResponseFormat, text: str, words: str
) -> None:
    scripted.will_answer(said(text))

    async with RemoteChatModel.open(scripted.upstream()) as model:
        with pytest.raises(UpstreamError, match="did not follow response_format: " + words):
            await collect(model.stream(replace(ASK, response_format=format)))


async def test_calls_may_come_instead_of_a_formatted_answer(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(("add", "{}")))
    request = replace(ASK, tools=(ADD,), response_format=AS_SCHEMA)

    assert (await deltas_of(scripted.upstream(), request))[-1] == Finish("tool_calls", COUNTED)


@pytest.mark.parametrize(
    ("changes", "type", "fields"),
    [
        ({"enable_thinking": False}, "vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning_budget": 0}, "sglang", {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning_effort": "low"}, "openai", {"reasoning_effort": "low"}),
        ({"reasoning_effort": "none"}, "openai", {"reasoning_effort": "none"}),
        ({"reasoning_effort": "none"}, "vllm", {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": False}}),
        ({"reasoning_budget": 9}, "llama-server", {"reasoning_budget_tokens": 9}),
        ({"separate_reasoning": False}, "llama-server", {"reasoning_format": "none"}),
        ({"separate_reasoning": False}, "sglang", {"separate_reasoning": False}),
        ({"chat_template_kwargs": {"x": 1}, "enable_thinking": True}, "vllm", {"chat_template_kwargs": {"x": 1, "enable_thinking": True}}),
    ],
)  # fmt: skip
def test_thinking_options_are_written_for_each_upstream(
    changes: dict[str, Any], type: UpstreamType, fields: dict[str, Any]
) -> None:
    assert sent(replace(ASK, **changes), type) == fields


@pytest.mark.parametrize(
    ("changes", "type", "param"),
    [
        ({"tool_call_bias": 1.0}, "llama-server", "tool_call_bias"),
        ({"separate_reasoning": False}, "vllm", "separate_reasoning"),
        ({"chat_template_kwargs": {"x": 1}}, "compatible", "chat_template_kwargs"),
    ],
)
def test_unsupported_options_are_refused_by_name(
    changes: dict[str, Any], type: UpstreamType, param: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{param} is not supported by") as told:
        sent(replace(ASK, **changes), type)
    assert told.value.param == param


@pytest.mark.parametrize(
    ("changes", "type", "names"),
    [
        ({"enable_thinking": True}, "openai", ["enable_thinking"]),
        ({"reasoning_budget": 0}, "compatible", ["enable_thinking"]),
        ({"reasoning_budget": 9}, "vllm", ["reasoning_budget"]),
        ({"reasoning_budget": 9}, "llama-server", []),
        ({"reasoning_effort": "none"}, "compatible", []),
        ({"sampling": SamplingParams(top_k=20, dry_multiplier=1)}, "openai", ["top_k", "dry_multiplier"]),
        ({"sampling": SamplingParams(mirostat=2)}, "vllm", ["mirostat"]),
    ],
)  # fmt: skip
def test_unsupported_options_that_may_be_dropped_are_named_in_a_notice(
    changes: dict[str, Any], type: UpstreamType, names: list[str]
) -> None:
    request = replace(ASK, **changes)

    assert left_out(request, upstream(type)) == tuple(
        f"{name}: not supported by {type} upstreams, left out" for name in names
    )
    if names:
        assert sent(request, type) == {}


def test_a_last_message_is_continued_if_the_upstream_has_a_template() -> None:
    request = replace(
        ASK, messages=(*ASK.messages, Message.assistant("He")), continue_final_message=True
    )

    fields = sent(request, "vllm")

    assert (fields["continue_final_message"], fields["add_generation_prompt"]) == (True, False)
    with pytest.raises(InvalidRequestError, match=r"^continue_final_message is not supported by"):
        sent(request, "openai")
    assert "continue_final_message" not in sent(request, "compatible")
    assert [notice.split(":")[0] for notice in left_out(request, upstream("compatible"))] == [
        "continue_final_message"
    ]


async def test_a_run_reports_dropped_options_once(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(("add", '{"a": 1}')), said("2."))
    options = AgentOptions(sampling=SamplingParams(top_k=20), enable_thinking=True)
    async with RemoteChatModel.open(scripted.upstream()) as model:
        agent = Agent(model, (StaticToolset("own", (add,)),), options)
        async with agent.run([Message.user("1 + 1?")]) as run:
            events = [event async for event in run]

    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"{name}: not supported by compatible upstreams, left out"
        for name in ("top_k", "enable_thinking")
    ]


def test_only_allowed_tools_are_sent() -> None:
    request = replace(ASK, tools=(ADD, SUB), tool_choice=ToolChoice("required", allowed=("sub",)))

    fields = sent(request, "vllm")

    assert [tool["function"]["name"] for tool in fields["tools"]] == ["sub"]
    assert fields["tool_choice"] == "required"


async def test_no_more_calls_are_passed_on_than_allowed(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(*(("add", "{}") for _ in range(4))))
    request = replace(ASK, tools=(ADD,), max_parallel_calls=3)

    deltas = await deltas_of(scripted.upstream(), request)

    assert [d for d in deltas if isinstance(d, ToolCallEnd)] == [ToolCallEnd(i) for i in range(3)]
