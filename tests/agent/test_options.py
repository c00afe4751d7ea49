from __future__ import annotations

from dataclasses import fields

import pytest

from kronk_agent import tool
from kronk_agent.agent import AgentOptions
from kronk_agent.config.schema.config import AgentConfig, SamplingConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, SamplingParams, ToolChoice
from kronk_agent.tools import Tool


@tool
def served() -> None:
    """A tool that we carry out."""


SERVED: Tool = served
OF_THE_CALLER = Tool(name="theirs", description="Theirs.", parameters={"type": "object"})


def test_the_defaults_are_those_of_the_configuration() -> None:
    config = AgentConfig().model_dump(exclude={"tool_choice"})

    assert AgentOptions() == AgentOptions(
        **config,
        tool_choice=ToolChoice.parse(AgentConfig().tool_choice),
        sampling=SamplingParams(**SamplingConfig().model_dump()),
    )


def test_the_configuration_has_every_option() -> None:
    names = {field.name for field in fields(AgentOptions)}
    of_the_whole = {"sampling", "policy"}

    of_a_request = {
        *("separate_reasoning", "response_format", "stop", "chat_template_kwargs"),
        *("continue_final_message", "logprobs", "top_logprobs", "policy_ceiling", "streamed"),
        *("cache_salt", "share_prefix"),
    }
    assert names == {*AgentConfig.model_fields, *of_the_whole, *of_a_request}


def test_every_option_that_a_request_has_goes_into_it() -> None:
    options = AgentOptions(
        sampling=SamplingParams(seed=1),
        parallel_tool_calls=False,
        max_parallel_calls=2,
        max_tokens=3,
        enable_thinking=True,
        reasoning_effort="low",
        reasoning_budget=4,
        separate_reasoning=False,
        tool_call_bias=0.5,
        response_format=ResponseFormat(type="json_object"),
        stop=("END",),
        logprobs=True,
        top_logprobs=5,
        streamed=False,
        max_tool_description_tokens=7,
        cache_salt="a",
        share_prefix=True,
        chat_template_kwargs={"x": 1},
        continue_final_message=True,
    )
    begun = Message.assistant("It is")

    request = options.request([begun], [], ToolChoice("none"), is_first=True)

    shared = {field.name for field in fields(AgentOptions)} & {f.name for f in fields(ChatRequest)}
    given = {name: getattr(options, name) for name in shared} | {"tool_choice": ToolChoice("none")}
    assert {name: getattr(request, name) for name in shared} == given
    unchanged = {name for name in shared if getattr(AgentOptions(), name) == given[name]}
    assert unchanged == set()


@pytest.mark.parametrize(
    ("messages", "tools", "is_saved"),
    [
        ([Message.system("Be brief."), Message.user("Hello")], [SERVED], True),
        ([Message.user("Hello")], [], True),
        ([Message.system("I am Ada, and I live at"), Message.user("Hello")], [SERVED], False),
        ([Message.system("Be brief."), Message.user("Hello")], [SERVED, OF_THE_CALLER], False),
    ],
)
def test_only_a_prefix_without_anything_of_the_caller_is_saved(
    messages: list[Message], tools: list[Tool], is_saved: bool
) -> None:
    options = AgentOptions(instructions="Be brief.", share_prefix=True)

    assert options.request(messages, tools, ToolChoice(), is_first=True).share_prefix is is_saved
    never = AgentOptions(instructions="Be brief.")
    assert not never.request(messages, tools, ToolChoice(), is_first=True).share_prefix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("max_tool_calls", -1),
        ("max_tokens", 0),
        ("max_tool_description_tokens", 0),
        ("tool_timeout_seconds", 0),
        ("tool_timeout_seconds", -1),
    ],
)
def test_a_limit_that_allows_nothing_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(InvalidRequestError, match=name) as caught:
        AgentOptions(**{name: value})  # type: ignore[arg-type]  # the wrong value is the point

    assert caught.value.param == name
