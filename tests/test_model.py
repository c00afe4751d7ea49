from __future__ import annotations

import math

import pytest

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, SamplingParams, ToolChoice
from kronk_agent.tools import tool

HELLO = (Message.user("Hello."),)


@tool
def look() -> None:
    """Look."""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", -0.1, "temperature must be from 0 to 100, not -0.1"),
        ("temperature", math.nan, "temperature must be from 0 to 100, not nan"),
        ("temperature", math.inf, "temperature must be from 0 to 100, not inf"),
        ("top_k", -1, "top_k must be from 0 to 2147483647, not -1"),
        ("top_p", 1.5, "top_p must be from 0 to 1, not 1.5"),
        ("min_p", -1, "min_p must be from 0 to 1, not -1"),
        ("typical_p", 2, "typical_p must be from 0 to 1, not 2"),
        ("repeat_penalty", 0, "repeat_penalty must be from 0.001 to 100, not 0"),
        ("frequency_penalty", 101, "frequency_penalty must be from -100 to 100, not 101"),
        ("presence_penalty", -101, "presence_penalty must be from -100 to 100, not -101"),
        ("repeat_last_n", -2, "repeat_last_n must be from -1 to 2147483647, not -2"),
        ("seed", 2**32, "seed must be from 0 to 4294967294, not 4294967296"),
        ("seed", 10**400, "seed must be from 0 to 4294967294, not 1000"),
    ],
)
def test_a_sampling_value_out_of_range_is_refused_by_name(
    name: str, value: float, words: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SamplingParams(**{name: value})  # type: ignore[arg-type]  # the wrong value is the point

    assert str(caught.value).startswith(words)
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("web_fetch", ToolChoice("named", "web_fetch")),
    ],
)
def test_a_tool_choice_is_a_mode_or_the_name_of_a_tool(text: str, choice: ToolChoice) -> None:
    assert ToolChoice.parse(text) == choice


def test_only_a_named_choice_has_a_name() -> None:
    with pytest.raises(InvalidRequestError, match="goes with mode 'named'"):
        ToolChoice("named")
    with pytest.raises(InvalidRequestError, match="goes with mode 'named'"):
        ToolChoice("auto", "look")


def test_a_request_that_can_never_work_is_refused_by_field() -> None:
    def param_of(error: pytest.ExceptionInfo[InvalidRequestError]) -> str | None:
        return error.value.param

    with pytest.raises(InvalidRequestError, match="messages must not be empty") as caught:
        ChatRequest(messages=())
    assert param_of(caught) == "messages"
    with pytest.raises(InvalidRequestError, match="max_tokens must be at least 1") as caught:
        ChatRequest(messages=HELLO, max_tokens=0)
    assert param_of(caught) == "max_tokens"
    with pytest.raises(InvalidRequestError, match="2 tools are named 'look'") as caught:
        ChatRequest(messages=HELLO, tools=(look, look))
    assert param_of(caught) == "tools"
    with pytest.raises(
        InvalidRequestError, match=r"names the unknown tool 'x'; available: look"
    ) as caught:
        ChatRequest(messages=HELLO, tools=(look,), tool_choice=ToolChoice("named", "x"))
    assert param_of(caught) == "tool_choice"
    with pytest.raises(InvalidRequestError, match="'required' needs at least one tool") as caught:
        ChatRequest(messages=HELLO, tool_choice=ToolChoice("required"))
    assert param_of(caught) == "tool_choice"


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"mirostat": 1, "temperature": 0}, "temperature"),
        ({"mirostat": 2, "dry_multiplier": 1}, "dry_multiplier"),
        ({"mirostat": 2, "repeat_penalty": 1.1}, "repeat_penalty"),
        ({"mirostat": 1, "adaptive_target": 0.5}, "adaptive_target"),
        ({"mirostat": 3}, "mirostat"),
        ({"dry_sequence_breakers": ("a", "")}, "dry_sequence_breakers"),
        ({"samplers": ("top_k", "top_a")}, "samplers"),
        ({"samplers": ("top_k", "top_k")}, "samplers"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(values: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequestError) as info:
        SamplingParams(**values)  # type: ignore[arg-type]
    assert info.value.param == param


@pytest.mark.parametrize("stop", [("",), ("a", ""), ("x",) * 65])
def test_stop_texts_that_cannot_be_meant_are_refused(stop: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError) as info:
        ChatRequest(messages=(Message.user("x"),), stop=stop)
    assert info.value.param == "stop"


CALLED = Message.assistant("", (ToolCall("call_1", "look", "{}"),))


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"reasoning_budget": -1}, "reasoning_budget"),
        ({"enable_thinking": True, "reasoning_budget": 0}, "enable_thinking"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "enable_thinking"),
        ({"max_parallel_calls": 0}, "max_parallel_calls"),
        ({"tool_call_bias": math.nan}, "tool_call_bias"),
        ({"tool_call_bias": -math.inf}, "tool_call_bias"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"continue_final_message": True, "messages": (*HELLO, CALLED)}, "continue_final_message"),
        ({"tool_choice": ToolChoice(allowed=("look", "x"))}, "tool_choice"),
    ],
)
def test_a_field_of_a_request_that_cannot_be_meant_is_refused_by_name(
    values: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidRequestError) as info:
        ChatRequest(**{"messages": HELLO, "tools": (look,), **values})  # type: ignore[arg-type]
    assert info.value.param == param


@pytest.mark.parametrize("values", [{"mode": "none"}, {"mode": "named", "name": "look"}])
def test_allowed_tools_go_with_auto_and_required_only(values: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as info:
        ToolChoice(**values, allowed=("look",))  # type: ignore[arg-type]
    assert info.value.param == "tool_choice"
    with pytest.raises(InvalidRequestError):
        ToolChoice(allowed=())


@pytest.mark.parametrize(
    "values",
    [
        {"type": "json_schema"},
        {"type": "json_object", "schema": {}},
        {"type": "regex"},
        {"type": "lark", "pattern": ""},
        {"type": "text", "pattern": "a"},
    ],
)
def test_a_form_of_answer_without_what_it_needs_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as info:
        ResponseFormat(**values)  # type: ignore[arg-type]
    assert info.value.param == "response_format"


@pytest.mark.parametrize(
    ("logprobs", "top", "words"),
    [(True, 21, "from 0 to 20, not 21"), (True, -1, "from 0 to 20"), (False, 1, "needs logprobs")],
)
def test_logprobs_that_cannot_be_given_are_refused(logprobs: bool, top: int, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        ChatRequest(messages=HELLO, logprobs=logprobs, top_logprobs=top)

    assert caught.value.param == "top_logprobs"
