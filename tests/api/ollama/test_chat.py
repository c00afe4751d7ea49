"""``/api/chat``: what a client of Ollama's asks for and gets."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from api.ollama.support import USER, WEATHER, serving
from api.support import add, scripted
from inline_snapshot import snapshot

from kronk_agent import Config
from kronk_agent.config.schema.agent import AgentConfig
from kronk_agent.messages import ImagePart, Message, ReasoningDelta, TextPart, ToolCall
from kronk_agent.model import ModelInfo
from kronk_agent.settings import ResponseFormat
from kronk_agent.testing import ScriptedModel, call

PNG = b"\x89PNG\r\n\x1a\n the rest of an image"


def result(id: str, name: str, text: str) -> Message:
    return Message("tool", (TextPart(text),), tool_call_id=id, name=name)


# --- the official client -----------------------------------------------------------------------


async def test_the_official_client_carries_out_a_tool() -> None:
    model = scripted(["Let me see.", call("weather", place="Oslo")], "It rains.")
    async with serving(model) as served:
        messages: list[Any] = [USER]
        asked = await served.ollama.chat("scripted", messages, tools=[WEATHER])
        (made,) = list(asked.message.tool_calls or ())
        messages += [
            asked.message,
            {"role": "tool", "tool_name": made.function.name, "content": "rain"},
        ]
        answered = await served.ollama.chat("scripted", messages, tools=[WEATHER])

    assert (made.function.name, made.function.arguments) == ("weather", {"place": "Oslo"})
    assert (asked.message.content, asked.done_reason) == ("Let me see.", "stop")
    assert answered.message.content == "It rains."
    (tool,) = model.requests[0].tools
    assert (tool.name, tool.description) == ("weather", "The weather in a place.")
    assert model.requests[1].messages == (
        Message.user("Hello"),
        Message.assistant("Let me see.", (ToolCall("call_1", "weather", '{"place": "Oslo"}'),)),
        result("call_1", "weather", "rain"),
    )


async def test_the_official_client_streams_thinking_apart() -> None:
    async with serving(scripted([ReasoningDelta("Hm."), "Good day!"])) as served:
        stream = await served.ollama.chat("scripted", [USER], stream=True, think=True)
        chunks = [chunk async for chunk in stream]

    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "Hm."
    assert "".join(chunk.message.content or "" for chunk in chunks) == "Good day!"
    assert [chunk.done for chunk in chunks][-2:] == [False, True]


# --- the wire ----------------------------------------------------------------------------------


async def test_an_answer_is_streamed_line_by_line() -> None:
    async with serving(scripted(["Hi ", call("weather", place="Oslo")])) as served:
        lines = await served.lines(messages=[USER], tools=[WEATHER])

    assert lines == snapshot(
        [
            {
                "model": "scripted",
                "created_at": "…",
                "message": {"role": "assistant", "content": "Hi"},
                "done": False,
            },
            {
                "model": "scripted",
                "created_at": "…",
                "message": {"role": "assistant", "content": " "},
                "done": False,
            },
            {
                "model": "scripted",
                "created_at": "…",
                "message": {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "function": {
                                "index": 0,
                                "name": "weather",
                                "arguments": {"place": "Oslo"},
                            },
                        }
                    ],
                },
                "done": False,
            },
            {
                "model": "scripted",
                "created_at": "…",
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "total_duration": "…",
                "load_duration": "…",
                "prompt_eval_count": 4,
                "prompt_eval_duration": "…",
                "eval_count": 12,
                "eval_duration": "…",
            },
        ]
    )


async def test_an_answer_that_is_not_streamed_is_the_same_put_together() -> None:
    turn: Any = [ReasoningDelta("Hm. "), ReasoningDelta("So."), "Good ", "day!"]
    async with serving(scripted(turn)) as served:
        answer = await served.whole(messages=[USER])

    assert answer == snapshot(
        {
            "model": "scripted",
            "created_at": "…",
            "message": {"role": "assistant", "content": "Good day!", "thinking": "Hm. So."},
            "done": True,
            "done_reason": "stop",
            "total_duration": "…",
            "load_duration": "…",
            "prompt_eval_count": 4,
            "prompt_eval_duration": "…",
            "eval_count": 9,
            "eval_duration": "…",
        }
    )


async def test_options_format_and_thinking_reach_the_model() -> None:
    model = scripted("Hi.", "{}", "{}")
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    async with serving(model) as served:
        options = {
            "temperature": 0.5,
            "top_k": -1,
            "top_p": 0.9,
            "min_p": 0.1,
            "repeat_penalty": 1.1,
            "repeat_last_n": 8,
            "presence_penalty": 0.5,
            "frequency_penalty": 0.25,
            "seed": 7,
            "stop": ["END"],
            "num_predict": 20,
            "num_gpu": 1,
            "num_ctx": 2048,
        }
        first = await served.whole(messages=[USER], options=options, think="high")
        await served.whole(messages=[USER], format="json", think=False)
        await served.whole(messages=[USER], format=schema, options={"seed": -1})

    plain, json, structured = model.requests
    assert {name: getattr(plain.sampling, name) for name in list(options)[:9]} == {
        **dict(list(options.items())[:9]),
        "top_k": 0,
    }
    assert (plain.stop, plain.max_tokens, plain.reasoning_effort) == (("END",), 20, "high")
    assert (json.enable_thinking, json.response_format) == (
        False,
        ResponseFormat(type="json_object"),
    )
    assert structured.response_format == ResponseFormat(type="json_schema", schema=schema)
    assert structured.sampling.seed is None
    assert "kronk" not in first


async def test_what_does_not_hold_is_named_in_a_notice() -> None:
    async with serving(scripted("Hi.")) as served:
        answer = await served.whole(
            messages=[{**USER, "mood": "glad"}],
            options={"num_ctx": 100_000, "sparkle": 1},
            raw_mode=True,
        )

    assert answer["kronk"]["notices"] == [
        "raw_mode: unknown field, ignored",
        "options.sparkle: unknown field, ignored",
        "messages.0.mood: unknown field, ignored",
        "options.num_ctx: the context length is 8192 tokens; change "
        "engine.context_length in the server's YAML",
    ]


async def test_logprobs_stand_beside_the_text_they_are_of() -> None:
    async with serving(scripted("Hi.")) as served:
        whole = await served.ollama.chat("scripted", [USER], logprobs=True, top_logprobs=1)

    assert whole.logprobs is not None
    assert "".join(scored.token for scored in whole.logprobs) == "Hi."
    assert [len(scored.top_logprobs or ()) for scored in whole.logprobs] == [1] * 2


async def test_results_find_the_calls_they_are_of() -> None:
    calls = [
        {"function": {"name": "weather", "arguments": {"place": "Oslo"}}},
        {"function": {"name": "time", "arguments": '{"zone": "CET"}'}},
        {"id": "c9", "function": {"name": "weather", "arguments": {"place": "Rome"}}},
    ]
    model = scripted("So.")
    async with serving(model) as served:
        await served.whole(
            messages=[
                USER,
                {"role": "assistant", "content": None, "tool_calls": calls},
                {"role": "tool", "tool_name": "time", "content": "noon"},
                {"role": "tool", "tool_call_id": "c9", "content": "sun"},
                {"role": "tool", "content": "rain"},
                {"role": "tool", "name": "news", "content": "none"},
            ]
        )

    assert model.requests[0].messages[1:] == (
        Message.assistant(
            "",
            (
                ToolCall("call_1", "weather", '{"place":"Oslo"}'),
                ToolCall("call_2", "time", '{"zone":"CET"}'),
                ToolCall("c9", "weather", '{"place":"Rome"}'),
            ),
        ),
        result("call_2", "time", "noon"),
        result("c9", "weather", "sun"),
        result("call_1", "weather", "rain"),
        Message.assistant("", (ToolCall("call_3", "news", "{}"),)),
        result("call_3", "news", "none"),
    )


async def test_an_image_reaches_a_model_that_sees_and_is_refused_by_one_that_does_not() -> None:
    data = base64.b64encode(PNG).decode()
    seeing, blind = scripted("A cat."), scripted()
    seeing.info = ModelInfo("scripted", 8192, frozenset({"chat", "image"}))
    asked = [{"role": "user", "content": "What is it?", "images": [data]}]
    async with serving(seeing) as served:
        await served.whole(messages=asked)
        no_image = await served.refusal(messages=[{**asked[0], "images": ["AAAA"]}])
    async with serving(blind) as served:
        status, words = await served.refusal(messages=asked)

    assert seeing.requests[0].messages == (
        Message("user", (ImagePart(PNG, "image/png"), TextPart("What is it?"))),
    )
    assert (status, words) == (400, "model 'scripted' cannot see images; no model here can")
    assert no_image == (
        400,
        "messages.0.images.0: must be a base64-encoded PNG, JPEG, GIF, WebP or BMP image",
    )


async def test_an_agent_works_with_its_tools_and_says_what_they_do() -> None:
    agent = AgentConfig(instructions="You add.")
    model = scripted(call("add", a=1, b=2), "It is 3.")
    async with serving(model, config=Config(tools=(), agent=agent)) as served:
        answer = await served.whole(model="agent/default:latest", messages=[USER])

    assert answer["message"] == {"role": "assistant", "content": "It is 3."}
    assert [told["type"] for told in answer["kronk"]["activity"]] == [
        "tool_started",
        "tool_finished",
    ]
    assert model.requests[0].messages[0] == Message.system("You add.")
    assert [tool.name for tool in model.requests[0].tools] == [add.name]


async def test_a_turn_that_calls_tools_of_both_sides_goes_on_with_both_results() -> None:
    turn: Any = [call("add", a=1, b=2), call("weather", place="Oslo")]
    model = scripted(turn, "3, and rain.")
    async with serving(model) as served:
        asked: dict[str, Any] = {"model": "agent/default", "tools": [WEATHER]}
        first = await served.whole(messages=[USER], **asked)
        told = {"role": "tool", "tool_name": "weather", "content": "rain"}
        await served.whole(messages=[USER, first["message"], told], **asked)

    assert [made["function"]["name"] for made in first["message"]["tool_calls"]] == ["weather"]
    assert [(m.role, m.name, m.text) for m in model.requests[1].messages[-2:]] == [
        ("tool", "add", "3"),
        ("tool", "weather", "rain"),
    ]


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "a model there is not": (
        {"model": "llama3"},
        404,
        "unknown model 'llama3'; available: 'scripted'",
    ),
    "no model": ({"model": None}, 400, "model: Input should be a valid string"),
    "a tool's name": (
        {"tools": [{"function": {"name": "the weather"}}]},
        400,
        "tools.0: a tool's name must be 1-128 of A-Z a-z 0-9 _ -, got 'the weather'",
    ),
    "a temperature": (
        {"options": {"temperature": -1}},
        400,
        "temperature must be from 0 to 100, not -1.0",
    ),
    "a role": (
        {"messages": [{"role": "critic", "content": "x"}]},
        400,
        "messages.0.role: Input should be 'system', 'developer', 'user', 'assistant' or 'tool'",
    ),
    "a time": (
        {"keep_alive": "soon"},
        400,
        "keep_alive: must be seconds or a duration such as 5m or 1h30m",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_can_never_work_is_refused_in_ollamas_form(name: str, stream: bool) -> None:
    body, status, words = REFUSED[name]
    async with serving(ScriptedModel([])) as served:
        refused = await served.refusal(**{"messages": [USER], **body}, stream=stream)

    assert refused == (status, words)


async def test_what_goes_wrong_in_a_stream_is_told_in_its_last_line() -> None:
    async with serving(scripted(call("add", a=1, b=2))) as served:  # and then the script is over
        lines = await served.lines(model="agent/default", messages=[USER])

    assert lines[-1] == {"error": "internal error; see the server's log"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "application/x-www-form-urlencoded"}, 200),
        ({"content-type": "text/plain", "sec-fetch-site": "cross-site"}, 415),
        ({"sec-fetch-site": "same-site"}, 415),
        ({"content-type": "text/plain", "origin": "https://evil.example"}, 403),
    ],
)
async def test_a_body_need_not_be_declared_as_json_unless_a_browser_sends_it(
    headers: dict[str, str], status: int
) -> None:
    body = b'{"model": "scripted", "stream": false, "messages": [{"role": "user", "content": "x"}]}'
    async with serving(scripted("Hi.")) as served:
        request = served.server.http.build_request(
            "POST", "/api/chat", content=body, headers=headers
        )
        answer = await served.server.http.send(request)

    assert answer.status_code == status, answer.text
