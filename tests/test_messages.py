from __future__ import annotations

import json
from typing import get_args

import pytest
from inline_snapshot import snapshot

from kronk_agent import messages
from kronk_agent.messages import (
    AudioPart,
    ContextCompacted,
    Event,
    ImagePart,
    JsonObject,
    Message,
    Notice,
    ReasoningDelta,
    RunFinished,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextPart,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    Usage,
    event_to_json,
)

CALL = ToolCall("call_1", "add", '{"a": 1}')
IMAGE = ImagePart(b"\x89PNG", "image/png")
RESULT = ToolResult("call_1", "add", (TextPart("2"), IMAGE), structured={"sum": [2, None, 0.5]})

EVENTS: list[tuple[Event, JsonObject]] = [
    (StepStarted(1), snapshot({"type": "step_started", "step": 1})),
    (TextDelta("ä"), snapshot({"type": "text_delta", "text": "ä"})),
    (ReasoningDelta("hm"), snapshot({"type": "reasoning_delta", "text": "hm"})),
    (
        ToolCallStart(0, "call_1", "add"),
        snapshot({"type": "tool_call_start", "index": 0, "id": "call_1", "name": "add"}),
    ),
    (
        ToolCallArguments(0, '{"a'),
        snapshot({"type": "tool_call_arguments", "index": 0, "fragment": '{"a'}),
    ),
    (ToolCallEnd(0), snapshot({"type": "tool_call_end", "index": 0})),
    (
        ToolStarted(CALL),
        snapshot(
            {
                "type": "tool_started",
                "call": {"id": "call_1", "name": "add", "arguments": '{"a": 1}'},
            }
        ),
    ),
    (
        ToolProgress("call_1", 0.5, 1.0, "half"),
        snapshot(
            {
                "type": "tool_progress",
                "call_id": "call_1",
                "progress": 0.5,
                "total": 1.0,
                "message": "half",
            }
        ),
    ),
    (
        ToolFinished(RESULT, 0.25),
        snapshot(
            {
                "type": "tool_finished",
                "result": {
                    "call_id": "call_1",
                    "name": "add",
                    "content": [
                        {"type": "text", "text": "2"},
                        {"type": "image", "data": "iVBORw==", "media_type": "image/png"},
                    ],
                    "is_error": False,
                    "structured": {"sum": [2, None, 0.5]},
                },
                "seconds": 0.25,
            }
        ),
    ),
    (
        StepFinished(1, Message.assistant("", (CALL,)), Usage(1, 2, 3, 4), Timings(1, 2, 3)),
        snapshot(
            {
                "type": "step_finished",
                "step": 1,
                "message": {
                    "role": "assistant",
                    "content": [],
                    "reasoning": "",
                    "tool_calls": [{"id": "call_1", "name": "add", "arguments": '{"a": 1}'}],
                    "tool_call_id": None,
                    "name": None,
                },
                "usage": {
                    "prompt_tokens": 1,
                    "completion_tokens": 2,
                    "cached_tokens": 3,
                    "reasoning_tokens": 4,
                },
                "timings": {"queue_seconds": 1, "ttft_seconds": 2, "generation_seconds": 3},
            }
        ),
    ),
    (Notice("mind"), snapshot({"type": "notice", "text": "mind"})),
    (
        ContextCompacted("summary", tokens_before=900, tokens_after=300),
        snapshot(
            {
                "type": "context_compacted",
                "kind": "summary",
                "tokens_before": 900,
                "tokens_after": 300,
                "reason": "",
            }
        ),
    ),
    (
        RunFinished(
            "error",
            (Message.user("hi"),),
            Usage(1, 2),
            steps=1,
            error="no",
            sources=(Source(1, "https://a.example/", "A"),),
        ),
        snapshot(
            {
                "type": "run_finished",
                "reason": "error",
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "hi"}],
                        "reasoning": "",
                        "tool_calls": [],
                        "tool_call_id": None,
                        "name": None,
                    }
                ],
                "usage": {
                    "prompt_tokens": 1,
                    "completion_tokens": 2,
                    "cached_tokens": 0,
                    "reasoning_tokens": 0,
                },
                "steps": 1,
                "error": "no",
                "sources": [{"number": 1, "url": "https://a.example/", "title": "A"}],
                "stop_sequence": None,
                "pending": [],
            }
        ),
    ),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS, ids=lambda value: type(value).__name__)
def test_an_event_as_json(event: Event, expected: JsonObject) -> None:
    written = event_to_json(event)

    assert written == expected
    assert json.loads(json.dumps(written)) == written


def test_a_text_delta_as_json_has_logprobs_only_where_there_are_some() -> None:
    token = TokenLogprob("hi", b"hi", 7, -0.5, (TokenLogprob("hi", b"hi", 7, -0.5),))

    assert event_to_json(TextDelta("hi", (token,))) == {
        "type": "text_delta",
        "text": "hi",
        "logprobs": [
            {
                "text": "hi",
                "bytes": "aGk=",
                "id": 7,
                "logprob": -0.5,
                "top": [{"text": "hi", "bytes": "aGk=", "id": 7, "logprob": -0.5, "top": []}],
            }
        ],
    }


def test_every_type_of_event_is_shown_above() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(messages.Event))


def test_bytes_become_base64() -> None:
    result = ToolResult("1", "say", (AudioPart(b"RIFF", "audio/wav"),))

    assert event_to_json(ToolFinished(result, 0))["result"] == snapshot(
        {
            "call_id": "1",
            "name": "say",
            "content": [{"type": "audio", "data": "UklGRg==", "media_type": "audio/wav"}],
            "is_error": False,
            "structured": None,
        }
    )


def test_the_text_of_a_message_is_its_text_parts() -> None:
    message = Message(role="user", content=(TextPart("Look: "), IMAGE, TextPart("nice?")))

    assert message.text == "Look: nice?"


def test_an_assistant_message_without_text_has_no_empty_part() -> None:
    assert Message.assistant("", (CALL,)) == Message(role="assistant", tool_calls=(CALL,))


def test_the_blocks_of_a_result_stay_apart_in_its_message() -> None:
    content = (TextPart("a"), TextPart("b"), IMAGE, TextPart("c"))
    result = ToolResult("call_1", "read", content)

    assert result.text == "a\nb\nc"
    assert result.to_message() == Message(
        role="tool",
        content=(TextPart("a\nb"), IMAGE, TextPart("c")),
        tool_call_id="call_1",
        name="read",
    )


def test_usage_adds_up() -> None:
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)


def test_the_text_of_a_run_is_its_last_answer() -> None:
    said = (
        Message.assistant("Let me see.", (CALL,)),
        RESULT.to_message(),
        Message.assistant("It is 2."),
    )

    assert RunFinished("stop", said, Usage(), steps=2).text == "It is 2."
    assert RunFinished("cancelled", said[:2], Usage(), steps=1).text == "Let me see."
    assert RunFinished("cancelled", (), Usage(), steps=0).text == ""
