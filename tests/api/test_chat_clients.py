"""What programs send to chat completions beside what OpenAI's documentation has."""

from __future__ import annotations

from typing import Any

import pytest
from api.support import frames, running, scripted

from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.settings import ResponseFormat
from kronk_agent.testing import call

ASKED = {"role": "user", "content": "Hello"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    ],
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HELLO = Message.user("Hello")
CALL = Message.assistant("", (ToolCall("c", "f", "{}"),))


def result(text: str) -> Message:
    return Message("tool", (TextPart(text),), tool_call_id="c", name="f")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([{**ASKED, "name": "user"}], [HELLO]),
        (
            [
                ASKED,
                {**CALLED, "name": "model"},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
            ],
            [HELLO, CALL, result("r")],
        ),
        (
            [ASKED, CALLED, {"role": "tool", "tool_call_id": "c", "content": None}],
            [HELLO, CALL, result("")],
        ),
        (
            [ASKED, {"role": "assistant", "content": "x", "reasoning": "why"}, ASKED],
            [HELLO, Message("assistant", (TextPart("x"),), reasoning="why"), HELLO],
        ),
        (
            [
                ASKED,
                {
                    "role": "assistant",
                    "content": "x",
                    "provider_specific_fields": {"refusal": None},
                    "thinking_blocks": None,
                    "reasoning_details": [],
                },
                {**ASKED, "cache_control": {"type": "ephemeral"}},
            ],
            [HELLO, Message.assistant("x"), HELLO],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "x"}}],
                }
            ],
            [HELLO],
        ),
    ],
)
async def test_what_clients_add_to_messages_has_no_effect(
    given: list[dict[str, Any]], read: list[Message]
) -> None:
    model = scripted("Hi.")
    async with running(model) as server:
        response = await server.post(
            "/v1/chat/completions", model="scripted", messages=given, tools=[TOOL]
        )

    assert response.status_code == 200, response.text
    assert list(model.requests[0].messages) == read
    assert "kronk" not in response.json()


async def test_a_field_that_nobody_knows_is_left_out_and_named() -> None:
    model = scripted("Hi.")
    content = [{"type": "text", "text": "Hello", "oddity": 1}]
    async with running(model) as server:
        response = await server.post(
            "/v1/chat/completions",
            model="scripted",
            messages=[{"role": "user", "content": content}],
            tools=[{**TOOL, "strange": 2}],
        )

    assert [message.text for message in model.requests[0].messages] == ["Hello"]
    assert response.json()["kronk"]["activity"] == [
        {"type": "notice", "text": "messages.0.content.0.oddity: unknown field, ignored"},
        {"type": "notice", "text": "tools.0.strange: unknown field, ignored"},
    ]


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"n_predict": 5}, "max_tokens", 5),
        ({"n_predict": 5, "max_tokens": 3}, "max_tokens", 3),
        ({"thinking": {"type": "disabled"}}, "enable_thinking", False),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "reasoning_budget", 9),
        ({"reasoning": {"effort": "low", "exclude": True}}, "reasoning_effort", "low"),
        ({"reasoning": {"max_tokens": 7}}, "reasoning_budget", 7),
        ({"reasoning": {"enabled": True}, "enable_thinking": False}, "enable_thinking", False),
        ({"store": True, "verbosity": "low", "service_tier": "flex", "cache_prompt": True}, "n", 1),
        ({"id_slot": 0, "timings_per_token": True, "return_progress": True}, "n", 1),
        ({"ignore_eos": False, "add_generation_prompt": True, "provider": {}}, "n", 1),
    ],
)
async def test_options_of_other_servers_do_what_they_say_or_nothing(
    options: dict[str, Any], field: str, value: object
) -> None:
    model = scripted("Hi.")
    async with running(model) as server:
        response = await server.post(
            "/v1/chat/completions", model="scripted", messages=[ASKED], **options
        )

    assert response.status_code == 200, response.text
    assert getattr(model.requests[0], field, 1) == value


async def test_repetition_penalty_is_repeat_penalty() -> None:
    model = scripted("Hi.", "Hi.")
    async with running(model) as server:
        for options in (
            {"repetition_penalty": 1.5},
            {"repetition_penalty": 2, "repeat_penalty": 1.1},
        ):
            await server.post("/v1/chat/completions", model="scripted", messages=[ASKED], **options)

    assert [request.sampling.repeat_penalty for request in model.requests] == [1.5, 1.1]


async def test_sequence_breakers_may_be_json_text() -> None:
    model = scripted("Hi.")
    async with running(model) as server:
        response = await server.post(
            "/v1/chat/completions",
            model="scripted",
            messages=[ASKED],
            dry_sequence_breakers='["\\n", ":"]',
        )

    assert response.status_code == 200, response.text
    assert model.requests[0].sampling.dry_sequence_breakers == ("\n", ":")


async def test_prefix_on_the_last_message_goes_on_with_it() -> None:
    model = scripted(" Ann.")
    begun = {"role": "assistant", "content": "I am", "prefix": True}
    async with running(model) as server:
        await server.post("/v1/chat/completions", model="scripted", messages=[ASKED, begun])

    assert model.requests[0].continue_final_message


async def test_the_default_model_answers_where_none_is_named() -> None:
    async with running(scripted("Hi.")) as server:
        response = await server.post("/v1/chat/completions", messages=[ASKED])

    assert (response.status_code, response.json()["model"]) == (200, "scripted")


@pytest.mark.parametrize(("turn", "text"), [([call("f")], None), (["Hi."], "")])
async def test_a_turn_of_calls_alone_begins_without_text(turn: list[Any], text: str | None) -> None:
    body = {"model": "scripted", "messages": [ASKED], "tools": [TOOL], "stream": True}
    async with running(scripted(turn)) as server:
        response = await server.post("/v1/chat/completions", **body)

    assert frames(response.text)[0]["choices"][0]["delta"]["content"] == text


async def test_a_tool_of_another_service_is_left_out_and_a_lark_grammar_shown() -> None:
    grammar = {"syntax": "lark", "definition": 'start: "a"'}
    custom = {"name": "patch", "format": {"type": "grammar", "grammar": grammar}}
    tools = [{"type": "browser_search"}, TOOL, {"type": "custom", "custom": custom}]
    model = scripted("Hi.")
    async with running(model) as server:
        answer = await server.post(
            "/v1/chat/completions", model="scripted", messages=[ASKED], tools=tools
        )

    shown = {tool.name: tool.description for tool in model.requests[0].tools}
    assert shown == {"f": "", "patch": 'The input follows this Lark grammar:\nstart: "a"'}
    assert [notice["text"] for notice in answer.json()["kronk"]["activity"]] == [
        "tools.0: tools of type browser_search are not available here; the tool is left out",
        "tools.2.custom.format: the Lark grammar is shown to the model, but not enforced inside a "
        "call",
    ]


async def test_a_json_object_may_have_a_schema_as_llama_servers_has() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    model = scripted("{}", "{}")
    async with running(model) as server:
        for form in ({"type": "json_object"}, {"type": "json_object", "schema": schema}):
            await server.post("/v1/chat/completions", messages=[ASKED], response_format=form)

    assert [request.response_format for request in model.requests] == [
        ResponseFormat(type="json_object"),
        ResponseFormat(type="json_schema", schema=schema),
    ]
