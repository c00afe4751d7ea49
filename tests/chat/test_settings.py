"""Every field of ``ModelSettings`` is honoured or refused by name, by models and by protocols."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import fields, replace
from typing import Any

import pytest
from chat.support import HERMES_TEMPLATE, make_tool

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.anthropic_messages.request import options as anthropic_options
from kronk_agent.api.protocols.anthropic_messages.schema import MessagesRequest
from kronk_agent.api.protocols.common.settings import SettingsFields
from kronk_agent.api.protocols.ollama.request import OllamaChatRequest as OllamaRequest
from kronk_agent.api.protocols.openai_chat.request import ChatCompletionRequest
from kronk_agent.api.protocols.openai_responses.request import CreateResponse
from kronk_agent.api.protocols.openai_responses.request import options as responses_options
from kronk_agent.chat.local import LocalChatModel
from kronk_agent.chat.remote import Upstream
from kronk_agent.chat.remote.request import left_out, request_body
from kronk_agent.engine.engine import Engine
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ModelSettings, ResponseFormat, SamplingParams, ToolChoice

SETTINGS: Mapping[str, Any] = {
    "sampling": SamplingParams(temperature=0.1),
    "tool_choice": ToolChoice("required"),
    "parallel_tool_calls": False,
    "max_parallel_calls": 1,
    "tool_call_bias": 1.0,
    "response_format": ResponseFormat(type="json_object"),
    "enable_thinking": True,
    "reasoning_effort": "low",
    "reasoning_budget": 10,
    "separate_reasoning": False,
    "max_tokens": 5,
    "stop": ("x",),
    "logprobs": True,
    "top_logprobs": 2,
    "chat_template_kwargs": {"x": 1},
    "continue_final_message": True,
    "max_tool_description_tokens": 1,
    "cache_salt": "a",
    "share_prefix": True,
    "streamed": False,
}
"""A value other than the default for each field."""

HINTS = frozenset(("cache_salt", "share_prefix", "streamed"))
"""What only a cache or a scheduler reads: another server does without."""

TOOL = make_tool("look", "Looks. And looks again, for as long as it takes to see.")
CONVERSATION = (Message.user("Hello"), Message.assistant("It is"))

CHAT: Mapping[str, Mapping[str, Any]] = {
    "sampling": {"temperature": 0.1},
    "response_format": {"response_format": {"type": "json_object"}},
    "max_tokens": {"max_completion_tokens": 5},
    "stop": {"stop": "x"},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "reasoning_effort": {"reasoning_effort": "low"},
    "separate_reasoning": {"reasoning_format": "none"},
    "continue_final_message": {"continue_final_message": True},
    "streamed": {"stream": False},
}
RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "sampling": {"temperature": 0.1},
    "response_format": {"text": {"format": {"type": "json_object"}}},
    "max_tokens": {"max_output_tokens": 5},
    "logprobs": {"include": ["message.output_text.logprobs"]},
    "top_logprobs": {"top_logprobs": 2},
    "reasoning_effort": {"reasoning": {"effort": "low"}},
    "streamed": {"stream": False},
}
MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "sampling": {"temperature": 0.1},
    "response_format": {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
    "max_tokens": {"max_tokens": 5},
    "stop": {"stop_sequences": ["x"]},
    "enable_thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "reasoning_budget": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "reasoning_effort": {"output_config": {"effort": "low"}},
    "parallel_tool_calls": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "streamed": {"stream": False},
}
OLLAMA: Mapping[str, Mapping[str, Any]] = {
    "sampling": {"options": {"temperature": 0.1}},
    "response_format": {"format": "json"},
    "max_tokens": {"options": {"num_predict": 5}},
    "stop": {"options": {"stop": "x"}},
    "enable_thinking": {"think": True},
    "reasoning_effort": {"think": "low"},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "streamed": {"stream": False},
}
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


class Watched(ChatRequest):
    """A request that notes which of its fields are read."""

    seen: set[str] = set()  # noqa: RUF012  # one test at a time reads it

    def __getattribute__(self, name: str) -> Any:
        Watched.seen.add(name)
        return super().__getattribute__(name)


def request(name: str) -> ChatRequest:
    settings = {name: SETTINGS[name]}
    if name == "top_logprobs":
        settings["logprobs"] = True
    return ChatRequest(messages=CONVERSATION, tools=(TOOL,), **settings)


def test_every_setting_has_an_example_here() -> None:
    defaults = ModelSettings()

    assert list(SETTINGS) == [field.name for field in fields(ModelSettings)]
    assert [name for name, value in SETTINGS.items() if getattr(defaults, name) == value] == []


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("type", ["openai", "vllm", "sglang", "llama-server", "compatible"])
def test_a_remote_model_sends_a_setting_or_refuses_it_or_says_that_it_leaves_it_out(
    name: str, type: Any
) -> None:
    upstream = Upstream(url="http://x/v1", model="m", type=type, context_length=4096)
    plain = ChatRequest(messages=CONVERSATION, tools=(TOOL,), logprobs=name == "top_logprobs")
    asked = request(name)

    named = [notice.partition(":")[0] for notice in left_out(asked, upstream)]
    try:
        is_sent = request_body(asked, upstream) != request_body(plain, upstream)
    except InvalidRequestError as error:
        is_sent = False
        named.append(error.param or "")

    assert is_sent or name in named or name in HINTS


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SETTINGS)
async def test_a_local_model_reads_every_setting(name: str, engine: Engine) -> None:
    model = LocalChatModel(engine, "starter", chat_templates={"default": HERMES_TEMPLATE})
    asked = request(name)
    given: dict[str, Any] = {field.name: getattr(asked, field.name) for field in fields(asked)}
    watched = Watched(**{**given, "max_tokens": 1})
    Watched.seen.clear()

    async with aclosing(model.stream(watched)) as deltas:
        async for _ in deltas:
            pass

    assert name in Watched.seen


@pytest.mark.parametrize("name", CHAT)
def test_chat_completions_have_a_word_for_it(name: str) -> None:
    base = AgentOptions()

    changed = ChatCompletionRequest(**ASKED, **CHAT[name]).options(base)

    assert getattr(changed, name) != getattr(base, name)


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_have_a_word_for_it(name: str) -> None:
    base = AgentOptions()

    changed = responses_options(CreateResponse(model="m", input="Hello", **RESPONSES[name]), base)

    assert getattr(changed, name) != getattr(base, name)


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_have_a_word_for_it(name: str) -> None:
    base = AgentOptions()
    body = MessagesRequest(**{**ASKED, "max_tokens": 9, **MESSAGES[name]})

    changed = anthropic_options(body, base, goes_on=False)

    assert getattr(changed, name) != getattr(base, name)


@pytest.mark.parametrize("name", OLLAMA)
def test_ollama_has_a_word_for_it(name: str) -> None:
    base = AgentOptions()

    changed = OllamaRequest(**ASKED, **OLLAMA[name]).agent_options(base)

    assert getattr(changed, name) != getattr(base, name)


@pytest.mark.parametrize("wire", [ChatCompletionRequest, CreateResponse])
def test_all_other_settings_are_fields_of_the_same_name(wire: type[SettingsFields]) -> None:
    words = CHAT if wire is ChatCompletionRequest else RESPONSES
    names = SETTINGS.keys() - words.keys() - SettingsFields.model_fields.keys()

    # The conversation says what is continued, and each endpoint has a route for its tool choice.
    missing = {"tool_choice", "cache_salt", "share_prefix", "max_tool_description_tokens"}
    assert names - missing <= {"stop", "separate_reasoning", "continue_final_message"}
    value = {name: SETTINGS[name] for name in SettingsFields.model_fields if name in SETTINGS}
    base = AgentOptions()
    assert set(value) > {"enable_thinking", "reasoning_budget", "tool_call_bias"}
    given = {"model": "m", **({"messages": ASKED["messages"]} if words is CHAT else {"input": "x"})}
    body: Any = wire(**given, **value)
    changed = body.options(base) if words is CHAT else responses_options(body, base)
    assert {name: getattr(changed, name) for name in value} == value
    assert replace(changed, **{name: getattr(base, name) for name in value}) == replace(
        base, streamed=False
    )
