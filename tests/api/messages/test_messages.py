"""What Anthropic's Messages API answers, byte for byte, and what its own client makes of it."""

from __future__ import annotations

import re
from typing import Any

import anyio
import pytest
from anthropic import BadRequestError, NotFoundError, OverloadedError
from api.messages.support import WEATHER, asked, running_with, serving, steady
from api.support import frames
from inline_snapshot import snapshot
from pydantic import BaseModel

from kronk_agent import Config
from kronk_agent.errors import EngineError
from kronk_agent.errors import OverloadedError as EngineOverloadedError
from kronk_agent.messages import JsonObject, Message, ReasoningDelta, TextPart, ToolCall
from kronk_agent.settings import ResponseFormat
from kronk_agent.testing import ScriptedModel, Turn, call

# --- the form ------------------------------------------------------------------------------------


async def test_an_answer_is_a_message_with_a_block_of_text() -> None:
    async with serving("Good day!") as server:
        message = await server.message()

    assert message == snapshot(
        {
            "id": "msg_…",
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [{"type": "text", "text": "Good day!"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                "input_tokens": 4,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 3,
                "service_tier": "standard",
                "output_tokens_details": {"thinking_tokens": 0},
            },
        }
    )


async def test_a_stream_has_anthropics_events_in_their_order() -> None:
    async with serving("Good day!") as server:
        response = await server.post(stream=True)

    events = frames(response.text)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.startswith('event: message_start\ndata: {"type":"message_start",')
    assert re.findall("event: (.+)\ndata: ", response.text) == [event["type"] for event in events]
    assert steady(events) == snapshot(
        [
            {
                "type": "message_start",
                "message": {
                    "id": "msg_…",
                    "type": "message",
                    "role": "assistant",
                    "model": "scripted",
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "stop_details": None,
                    "usage": {
                        "input_tokens": 4,
                        "cache_creation_input_tokens": 0,
                        "cache_read_input_tokens": 0,
                        "output_tokens": 0,
                        "service_tier": "standard",
                    },
                },
            },
            {"type": "ping"},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "Good"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": " day"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "!"},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None},
                "usage": {
                    "input_tokens": 4,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 3,
                    "output_tokens_details": {"thinking_tokens": 0},
                },
            },
            {"type": "message_stop"},
        ]
    )


async def test_a_call_is_streamed_as_it_is_written() -> None:
    async with serving(["Let me see.", call("weather", place="Oslo")]) as server:
        events = await server.streamed(tools=[WEATHER])

    assert without_start(events) == snapshot(
        [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "Let"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": " me"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": " see"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "."},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "weather",
                    "input": {},
                },
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "{"},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '"'},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "place"},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '"'},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": ":"},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": ' "'},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "Oslo"},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '"'},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": "}"},
            },
            {"type": "content_block_stop", "index": 1},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None},
                "usage": {
                    "input_tokens": 4,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 14,
                    "output_tokens_details": {"thinking_tokens": 0},
                },
            },
            {"type": "message_stop"},
        ]
    )


async def test_thinking_is_a_block_with_a_signature() -> None:
    thinking = {"type": "enabled", "budget_tokens": 10}
    async with serving([ReasoningDelta("Be brief."), "Hi"]) as server:
        events = await server.streamed(thinking=thinking)

    assert without_start(events) == snapshot(
        [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "Be"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": " brief"},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "."},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {
                    "type": "signature_delta",
                    "signature": "kronk-213c22ed7234eb11116e1e88f314c73c",
                },
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "text", "text": ""},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "text_delta", "text": "Hi"},
            },
            {"type": "content_block_stop", "index": 1},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None},
                "usage": {
                    "input_tokens": 4,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 4,
                    "output_tokens_details": {"thinking_tokens": 3},
                },
            },
            {"type": "message_stop"},
        ]
    )
    assert server.model.requests[0].enable_thinking is True
    assert server.model.requests[0].reasoning_budget == 10


async def test_thinking_can_be_left_out_of_the_answer() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    async with serving([ReasoningDelta("Be brief."), "Hi"]) as server:
        message = await server.message(thinking=thinking)

    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][0]["thinking"] == ""


async def test_without_being_asked_a_model_does_not_think() -> None:
    async with serving("Hi", "Hi", "Hi") as server:
        await server.message()
        await server.message(thinking={"type": "disabled"})
        await server.message(thinking={"type": "adaptive"})

    assert [r.enable_thinking for r in server.model.requests] == [False, False, None]


def without_start(events: list[Any]) -> list[Any]:
    """A stream's events but for the first two, which are always the same."""
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    return events[2:]


# --- why it ended --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "body", "reason", "stop"),
    [
        ("Hi", {}, "end_turn", None),
        (call("weather", place="Oslo"), {"tools": [WEATHER]}, "tool_use", None),
        ("one two three", {"max_tokens": 2}, "max_tokens", None),
        ("one two STOP three", {"stop_sequences": ["NO", "STOP"]}, "stop_sequence", "STOP"),
        ("word " * 100, {"max_tokens": 1000}, "model_context_window_exceeded", None),
    ],
)
async def test_a_message_says_why_it_ended(
    turn: Turn, body: dict[str, Any], reason: str, stop: str | None
) -> None:
    model = ScriptedModel([turn], context_length=50)
    async with running_with(model) as (_, http):
        response = await http.post("/v1/messages", json=asked(**body))

    message = response.json()
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, stop)


# --- the same, streamed and not ------------------------------------------------------------------

SCRIPTS: dict[str, tuple[Turn, dict[str, Any]]] = {
    "text": ("Good day!", {}),
    "nothing": ("", {}),
    "thinking": ([ReasoningDelta("Hm."), "Hi"], {"thinking": {"type": "adaptive"}}),
    "call": (call("weather", place="Oslo"), {"tools": [WEATHER]}),
    "calls": (
        ["Both.", call("weather", place="Oslo"), call("weather", place="Rome")],
        {"tools": [WEATHER]},
    ),
    "call without arguments": (
        call("now"),
        {"tools": [{"name": "now", "input_schema": {"type": "object"}}]},
    ),
    "cut": ("one two three", {"max_tokens": 2}),
    "cut call": (call("weather", place="Oslo"), {"tools": [WEATHER], "max_tokens": 3}),
}


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_stream_put_together_is_the_message(name: str) -> None:
    turn, body = SCRIPTS[name]
    async with serving(turn) as server:
        whole = await server.message(**body)
    async with (
        serving(turn) as server,
        server.anthropic.messages.stream(**asked(**body)) as stream,
    ):
        final = await stream.get_final_message()

    streamed = final.to_dict()
    assert steady(streamed) == without_partial_input(whole, streamed)


def without_partial_input(whole: Any, streamed: Any) -> Any:
    """Anthropic's client guesses at the arguments of a call that was cut short; we give none."""
    for block, other in zip(whole["content"], streamed["content"], strict=True):
        if block["type"] == "tool_use" and block["input"] == {}:
            block["input"] = other["input"]
    return whole


# --- conversations -------------------------------------------------------------------------------


async def test_tools_are_the_clients_to_call() -> None:
    async with serving(call("weather", place="Oslo"), "It rains.") as server:
        create = server.anthropic.messages.create
        question: Any = {"role": "user", "content": "The weather in Oslo?"}
        first = await create(**asked(messages=[question], tools=[WEATHER]))
        [use] = first.content
        assert use.type == "tool_use"
        result = {
            "type": "tool_result",
            "tool_use_id": use.id,
            "content": [{"type": "text", "text": "rain"}, {"type": "text", "text": "4 degrees"}],
        }
        messages = [question, first.to_param(), {"role": "user", "content": [result]}]
        second = await create(**asked(messages=messages, tools=[WEATHER]))

    assert (use.name, use.input) == ("weather", {"place": "Oslo"})
    assert second.content[0].to_dict() == {"type": "text", "text": "It rains."}
    assert server.model.requests[1].messages == (
        Message.user("The weather in Oslo?"),
        Message.assistant("", (ToolCall(use.id, "weather", '{"place":"Oslo"}'),)),
        Message("tool", (TextPart("rain\n4 degrees"),), tool_call_id=use.id, name="weather"),
    )


async def test_an_answer_that_was_begun_is_gone_on_with() -> None:
    begun = {"role": "assistant", "content": "The best answer is ("}
    async with serving("B)") as server:
        message = await server.message(messages=[{"role": "user", "content": "?"}, begun])

    assert message["content"] == [{"type": "text", "text": "B)"}]
    assert server.model.requests[0].continue_final_message


@pytest.mark.parametrize(
    ("choice", "mode", "name", "is_parallel"),
    [
        ({"type": "auto"}, "auto", None, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto", None, False),
        ({"type": "any"}, "required", None, True),
        ({"type": "tool", "name": "weather"}, "named", "weather", True),
    ],
)
async def test_the_choice_of_tools_is_the_models_law(
    choice: dict[str, Any], mode: str, name: str | None, is_parallel: bool
) -> None:
    async with serving(call("weather", place="Oslo")) as server:
        await server.message(tools=[WEATHER], tool_choice=choice)

    request = server.model.requests[0]
    assert (request.tool_choice.mode, request.tool_choice.name) == (mode, name)
    assert request.parallel_tool_calls is is_parallel


async def test_what_says_how_to_answer_reaches_the_model() -> None:
    schema: JsonObject = {"type": "object", "properties": {"city": {"type": "string"}}}
    async with serving('{"city": "Oslo"}') as server:
        await server.message(
            temperature=0.5,
            top_p=0.8,
            top_k=7,
            stop_sequences=["END"],
            output_config={"effort": "high", "format": {"type": "json_schema", "schema": schema}},
        )

    request = server.model.requests[0]
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.8, 7)
    assert (request.max_tokens, request.stop) == (100, ("END",))
    assert request.reasoning_effort == "high"
    assert request.response_format == ResponseFormat(type="json_schema", schema=schema)


class City(BaseModel):
    city: str


async def test_anthropics_client_reads_structured_output() -> None:
    async with serving('{"city": "Oslo"}') as server:
        message = await server.anthropic.messages.parse(**asked(output_format=City))

    assert message.parsed_output == City(city="Oslo")


async def test_what_concerns_only_their_service_changes_nothing() -> None:
    async with serving("Hi", "Hi") as server:
        plain = await server.message()
        full = await server.message(
            metadata={"user_id": "someone"},
            service_tier="auto",
            cache_control={"type": "ephemeral", "ttl": "1h"},
            speed="standard",
        )

    assert full == plain
    assert server.model.requests[0] == server.model.requests[1]


async def test_the_cause_of_a_cache_miss_is_said_to_be_unknown() -> None:
    async with serving("Hi") as server:
        message = await server.message(diagnostics={"previous_message_id": "msg_1"})

    assert message["diagnostics"] == {"cache_miss_reason": {"type": "unavailable"}}


# --- counting ------------------------------------------------------------------------------------


async def test_tokens_are_counted_as_the_answer_counts_them() -> None:
    async with serving("Hi") as server:
        body = asked(system="Be brief.")
        del body["max_tokens"]
        counted = await server.anthropic.messages.count_tokens(**body)
        message = await server.message(system="Be brief.")

    assert counted.input_tokens == message["usage"]["input_tokens"] > 0


# --- errors --------------------------------------------------------------------------------------


async def test_an_unknown_model_is_not_found() -> None:
    async with serving() as server:
        with pytest.raises(NotFoundError) as caught:
            await server.anthropic.messages.create(**asked(model="claude"))

    assert caught.value.body == snapshot(
        {
            "type": "error",
            "error": {
                "type": "not_found_error",
                "message": "unknown model 'claude'; available: 'scripted'",
            },
        }
    )


async def test_anthropics_client_gets_a_refusal_it_knows() -> None:
    async with serving() as server:
        with pytest.raises(BadRequestError) as caught:
            await server.anthropic.messages.create(**asked(max_tokens=0))

    assert caught.value.body == snapshot(
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "max_tokens: Input should be greater than or equal to 1",
            },
        }
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_a_full_queue_is_anthropics_own_status(stream: bool) -> None:
    async with serving(EngineOverloadedError("full", retry_after_seconds=2)) as server:
        with pytest.raises(OverloadedError) as caught:
            await server.anthropic.messages.create(**asked(stream=stream))

    assert caught.value.status_code == 529
    assert caught.value.response.headers["retry-after"] == "2"


async def test_an_engine_that_fails_midway_is_told_in_the_stream() -> None:
    async with serving(["It is", EngineError("the engine failed")]) as server:
        events = await server.streamed()

    assert events[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "the engine failed"},
    }


async def test_a_slow_answer_is_kept_alive_with_pings() -> None:
    said = anyio.Event()
    config = Config.model_validate({"tools": (), "server": {"keep_alive_seconds": 0.05}})
    async with serving(["One", said, " two"], config=config) as server:
        pings = 0
        async with server.http.stream("POST", "/v1/messages", json=asked(stream=True)) as response:
            async for line in response.aiter_lines():
                pings += line == "event: ping"
                if pings == 3:
                    said.set()

    assert pings >= 3


# --- around it -----------------------------------------------------------------------------------


async def test_claude_codes_first_question_is_answered() -> None:
    async with serving() as server:
        response = await server.http.head("/")

    assert (response.status_code, response.content) == (200, b"")


async def test_models_are_listed_in_anthropics_form() -> None:
    async with serving() as server:
        page = await server.anthropic.models.list()
        one = await server.anthropic.models.retrieve("scripted")

    assert [model.id for model in page.data] == ["scripted", "agent/default"]
    assert (one.id, one.type, one.display_name) == ("scripted", "model", "scripted")


async def test_beta_clients_are_served_too() -> None:
    async with serving("Hi") as server:
        message = await server.anthropic.beta.messages.create(
            **asked(betas=["context-management-2025-06-27"], context_management={"edits": []})
        )

    assert message.to_dict()["context_management"] == {"applied_edits": []}
