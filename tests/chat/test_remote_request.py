"""Requests as they are sent to each type of upstream."""

# ruff: noqa: E501  # a table has one case a line

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, get_args

import pytest
from chat.support import make_tool

from kronk_agent import Message
from kronk_agent.chat.remote import Upstream
from kronk_agent.chat.remote.request import request_body
from kronk_agent.chat.remote.server_profiles import UpstreamType
from kronk_agent.config.schema.model import RemoteModelConfig
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import AudioPart, ImagePart, TextPart, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.settings import SamplingParams, ToolChoice

ADD = make_tool(
    "add",
    "Add.",
    properties={"a": {"type": "integer"}},
    required=["a"],
    additionalProperties=False,
)
OPEN = make_tool("open", properties={"a": {"type": "integer"}})
LOOSE = make_tool("loose", strict=False)
ASK = ChatRequest(messages=(Message.user("Hello"),))
WITH_TOOLS = replace(ASK, tools=(ADD, OPEN, LOOSE))


def body(request: ChatRequest = ASK, type: UpstreamType = "compatible") -> dict[str, Any]:
    return dict(
        request_body(
            request, Upstream(url="http://x/v1", model="m", type=type, context_length=4096)
        )
    )


def messages(*given: Message, type: UpstreamType = "compatible") -> list[Any]:
    sent: list[Any] = body(ChatRequest(messages=given), type)["messages"]
    return sent


def test_a_plain_request_is_small() -> None:
    assert body(replace(ASK, max_tokens=10, stop=("\n",))) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "top_p": 0.95,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "max_tokens": 10,
        "stop": ["\n"],
    }


def test_openai_has_another_name_for_the_limit() -> None:
    assert body(replace(ASK, max_tokens=10), "openai")["max_completion_tokens"] == 10


def test_a_conversation_keeps_its_calls_and_results() -> None:
    call = ToolCall("call_1", "add", '{"a": 1}')
    result = Message(role="tool", content=(TextPart("2"),), tool_call_id="call_1", name="add")
    said = replace(Message.assistant("", (call,)), reasoning="Hm.")
    call_value = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1}'},
    }
    spoken = {"role": "assistant", "content": None, "tool_calls": [call_value]}
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "2"}

    assert messages(said, result) == [spoken, answer]
    assert messages(said, result, type="vllm") == [spoken | {"reasoning_content": "Hm."}, answer]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": ', '{"invalid_arguments": "{\\"a\\": "}'),
        ("[1]", '{"invalid_arguments": "[1]"}'),
    ],
)
def test_arguments_are_always_an_object(written: str, sent: str) -> None:
    (message,) = messages(Message.assistant("", (ToolCall("c", "add", written),)))

    assert message["tool_calls"][0]["function"]["arguments"] == sent


def test_images_and_audio_are_sent_as_data() -> None:
    parts = (TextPart("See"), ImagePart(b"png", "image/png"), AudioPart(b"wav", "audio/wav"))
    data = {name: base64.b64encode(name.encode()).decode() for name in ("png", "wav")}

    (message,) = messages(Message(role="user", content=parts))

    assert message["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data['png']}"}},
        {"type": "input_audio", "input_audio": {"data": data["wav"], "format": "wav"}},
    ]


def test_audio_of_an_unsupported_type_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="audio/ogg is not supported; use audio/wav or"):
        messages(Message(role="user", content=(AudioPart(b"", "audio/ogg"),)))


@pytest.mark.parametrize(
    ("type", "strict"),
    [
        ("compatible", ["add"]),
        ("openai", ["add"]),
        ("vllm", ["add", "open"]),
        ("sglang", ["add", "open"]),
        ("llama-server", []),
    ],
)
def test_tools_are_strict_if_the_upstream_supports_it(
    type: UpstreamType, strict: list[str]
) -> None:
    functions = [tool["function"] for tool in body(WITH_TOOLS, type)["tools"]]

    assert [f["name"] for f in functions] == ["add", "open", "loose"]
    assert [f["name"] for f in functions if "strict" in f] == strict


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"]},
        {"properties": {"a": {"type": "array", "items": {"not": {}}}}, "required": ["a"]},
        {"properties": {"a": {"type": "string"}}},
    ],
)
def test_schemas_outside_openais_subset_are_not_marked_strict(schema: dict[str, Any]) -> None:
    tool = make_tool("t", **schema, additionalProperties=False)

    assert "strict" not in body(replace(ASK, tools=(tool,)))["tools"][0]["function"]


@pytest.mark.parametrize(
    ("choice", "type", "names", "sent"),
    [
        ("auto", "vllm", ["add", "open", "loose"], "auto"),
        ("required", "vllm", ["add", "open", "loose"], "required"),
        ("open", "vllm", ["add", "open", "loose"], {"type": "function", "function": {"name": "open"}}),
        ("open", "llama-server", ["open"], "required"),
    ],
)  # fmt: skip
def test_tool_choice_is_written_for_each_upstream(
    choice: str, type: UpstreamType, names: list[str], sent: object
) -> None:
    request = replace(
        WITH_TOOLS, tool_choice=ToolChoice.parse(choice), parallel_tool_calls=choice == "auto"
    )

    sent_body = body(request, type)

    assert sent_body["tool_choice"] == sent
    assert [tool["function"]["name"] for tool in sent_body["tools"]] == names
    assert sent_body["parallel_tool_calls"] is (choice == "auto")


def test_no_tools_are_sent_when_none_may_be_called() -> None:
    sent = body(replace(WITH_TOOLS, tool_choice=ToolChoice("none")))

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.keys()


def test_gpu_servers_have_three_more_parameters() -> None:
    sent = body(
        replace(ASK, sampling=SamplingParams(top_k=0, seed=0, logit_bias={5: -1})), "sglang"
    )

    assert {key: sent[key] for key in ("top_k", "min_p", "repetition_penalty")} == {
        "top_k": -1,
        "min_p": 0.05,
        "repetition_penalty": 1.0,
    }
    assert sent["seed"] == 0
    assert sent["logit_bias"] == {"5": -1}


def test_llama_server_has_all_parameters() -> None:
    sent = body(replace(ASK, sampling=SamplingParams(dry_multiplier=0.8)), "llama-server")

    assert sent["dry_multiplier"] == 0.8
    assert sent["dry_sequence_breakers"] == ["\n", ":", '"', "*"]
    assert sent["samplers"][0] == "penalties"
    assert sent["dry_penalty_last_n"] == 4096


def test_the_configuration_accepts_every_upstream_type() -> None:
    annotation = RemoteModelConfig.model_fields["type"].annotation

    assert get_args(annotation) == get_args(UpstreamType)
