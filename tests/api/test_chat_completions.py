from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
from api.support import WEATHER, add, echoed, frames, function_calls, running, scripted, steady
from inline_snapshot import snapshot

from kronk_agent import Config
from kronk_agent.config.schema.config import (
    SearchProviderConfig,
    SearchResultConfig,
    WebSearchConfig,
)
from kronk_agent.config.schema.mcp_server import McpServerConfig
from kronk_agent.messages import ReasoningDelta, TextPart
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, call

HELLO: Any = [{"role": "user", "content": "Hello"}]


async def test_an_answer_comes_whole() -> None:
    async with running(scripted([ReasoningDelta("Hm."), "Hi there."])) as server:
        response = await server.post("/v1/chat/completions", model="scripted", messages=HELLO)

    body = response.json()
    assert body.pop("id").startswith("chatcmpl-")
    assert steady(body) == snapshot(
        {
            "object": "chat.completion",
            "created": "…",
            "model": "scripted",
            "system_fingerprint": "…",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Hi there.",
                        "refusal": None,
                        "reasoning_content": "Hm.",
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 4,
                "completion_tokens": 5,
                "total_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            "timings": "…",
        }
    )


async def test_an_answer_comes_in_chunks() -> None:
    async with running(scripted([ReasoningDelta("Hm."), "Hi there."])) as server:
        response = await server.post(
            "/v1/chat/completions",
            model="scripted",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        )

    chunks = frames(response.text)
    assert len({chunk.pop("id") for chunk in chunks[:-1]}) == 1
    assert steady(chunks) == snapshot(
        [
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"role": "assistant", "content": ""},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"reasoning_content": "Hm"},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"reasoning_content": "."},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": "Hi"},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {
                        "index": 0,
                        "delta": {"content": " there"},
                        "logprobs": None,
                        "finish_reason": None,
                    }
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [
                    {"index": 0, "delta": {"content": "."}, "logprobs": None, "finish_reason": None}
                ],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
                "usage": None,
            },
            {
                "object": "chat.completion.chunk",
                "created": "…",
                "model": "scripted",
                "system_fingerprint": "…",
                "choices": [],
                "timings": "…",
                "usage": {
                    "prompt_tokens": 4,
                    "completion_tokens": 5,
                    "total_tokens": 9,
                    "prompt_tokens_details": {"cached_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 2},
                },
            },
            "[DONE]",
        ]
    )


async def test_the_sdk_reads_a_call_of_its_own_tool_and_comes_back_with_the_result() -> None:
    model = scripted(call("weather", place="Oslo"), "It rains.")
    async with running(model) as server:
        first = await server.openai.chat.completions.create(
            model="scripted", messages=HELLO, tools=[WEATHER]
        )
        choice = first.choices[0]
        assert choice.finish_reason == "tool_calls"
        [asked] = function_calls(choice.message)
        second = await server.openai.chat.completions.create(
            model="scripted",
            messages=[
                *HELLO,
                echoed(choice.message),
                {"role": "tool", "tool_call_id": asked.id, "content": "rain"},
            ],
            tools=[WEATHER],
        )

    assert second.choices[0].message.content == "It rains."
    assert [message.role for message in model.requests[1].messages] == ["user", "assistant", "tool"]
    assert model.requests[1].messages[2].content == (TextPart("rain"),)


async def test_a_call_is_streamed_as_the_sdk_expects_it() -> None:
    async with (
        running(scripted(["Let me see.", call("weather", place="Oslo")])) as server,
        server.openai.chat.completions.stream(
            model="scripted", messages=HELLO, tools=[WEATHER]
        ) as stream,
    ):
        async for _ in stream:
            pass
        final = await stream.get_final_completion()

    message = final.choices[0].message
    [asked] = function_calls(message)
    assert (message.content, final.choices[0].finish_reason) == ("Let me see.", "tool_calls")
    assert (asked.function.name, asked.function.arguments) == ("weather", '{"place": "Oslo"}')


async def test_an_agent_uses_its_tools_here_and_shows_that_it_does() -> None:
    async with running(scripted(["I add.", call("add", a=1, b=2)], "It is 3.")) as server:
        response = await server.post(
            "/v1/chat/completions", model="agent/default", messages=HELLO, stream=True
        )
        chunks = frames(response.text)[:-1]

    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    activity = [chunk["kronk"]["type"] for chunk in chunks if "kronk" in chunk]
    assert text == "I add.\n\nIt is 3."
    assert activity == ["tool_started", "tool_finished"]
    assert all("tool_calls" not in chunk["choices"][0]["delta"] for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_call_written_as_text_is_noted() -> None:
    written = '{"name": "weather", "arguments": {"place": "Oslo"}}'
    async with running(scripted(written)) as server:
        response = await server.post(
            "/v1/chat/completions", model="scripted", messages=HELLO, tools=[WEATHER]
        )

    assert response.json()["kronk"]["activity"] == [
        {
            "type": "notice",
            "text": "the answer contains a call of weather as text; it was not executed",
        }
    ]


async def test_a_turn_that_called_tools_of_both_goes_on_with_both_results() -> None:
    turns = [call("add", a=1, b=2), call("weather", place="Oslo")]
    model = scripted(turns, "3, and rain.")
    async with running(model) as server:
        first = await server.openai.chat.completions.create(
            model="agent/default", messages=HELLO, tools=[WEATHER]
        )
        [asked] = function_calls(first.choices[0].message)
        await server.openai.chat.completions.create(
            model="agent/default",
            messages=[
                *HELLO,
                echoed(first.choices[0].message),
                {"role": "tool", "tool_call_id": asked.id, "content": "rain"},
            ],
            tools=[WEATHER],
        )

    assert [(m.role, m.name, m.text) for m in model.requests[1].messages[1:]] == [
        ("user", None, "Hello"),
        ("assistant", None, ""),
        ("tool", "add", "3"),
        ("tool", "weather", "rain"),
    ]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"model": "gpt-5"}, 404, {"code": "model_not_found", "param": "model"}),
        ({"n": 0}, 400, {"param": "n"}),
        ({"temperature": 200}, 400, {"param": "temperature"}),
        ({"funny": 1}, 400, {"param": "funny", "code": "unsupported_parameter"}),
        ({"functions": []}, 400, {"param": "functions"}),
        ({"messages": []}, 400, {"param": "messages"}),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 4}]}]},
            400,
            {"param": "messages.0.content.0.text"},
        ),
        (
            {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
            400,
            {"param": "messages.0.tool_call_id"},
        ),
        ({"tool_choice": "required"}, 400, {"param": "tool_choice"}),
        ({"stream_options": {}}, 400, {"param": "stream_options"}),
        ({"stream": True, "tool_choice": "required"}, 400, {"param": "tool_choice"}),
        ({"response_format": {"type": "xml"}}, 400, {"param": "response_format"}),
        ({"logit_bias": {"a": 1}}, 400, {"param": "logit_bias"}),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}}
                        ],
                    }
                ]
            },
            400,
            {"param": "messages.0.content.0.input_audio.data"},
        ),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    change: dict[str, object], status: int, error: dict[str, object]
) -> None:
    async with running(scripted()) as server:
        body = {"model": "scripted", "messages": HELLO, **change}
        response = await server.http.post("/v1/chat/completions", json=body)

    told = response.json()["error"]
    assert response.status_code == status, told
    assert error.items() <= told.items()
    assert str(told["param"]) in told["message"] or told["code"] == "model_not_found"


async def test_a_body_that_is_not_json_is_refused() -> None:
    async with running(scripted()) as server:
        response = await server.http.post(
            "/v1/chat/completions", content="{", headers={"content-type": "application/json"}
        )

    assert (response.status_code, response.json()["error"]["type"]) == (
        400,
        "invalid_request_error",
    )


async def test_a_server_tool_and_a_client_tool_of_one_name_cannot_be_told_apart() -> None:
    clash = {"type": "function", "function": {"name": add.name}}
    async with running(scripted()) as server:
        response = await server.post(
            "/v1/chat/completions", model="agent/default", messages=HELLO, tools=[clash]
        )

    assert response.status_code == 400
    assert "add" in response.json()["error"]["message"]


async def test_logprobs_come_with_the_tokens_they_are_of() -> None:
    async with running(scripted("Hi there.", "Hi there.")) as server:
        whole = await server.openai.chat.completions.create(
            model="scripted", messages=HELLO, logprobs=True, top_logprobs=1
        )
        stream = await server.openai.chat.completions.create(
            model="scripted", messages=HELLO, logprobs=True, top_logprobs=1, stream=True
        )
        streamed = [
            scored
            async for chunk in stream
            for choice in chunk.choices
            if choice.logprobs
            for scored in choice.logprobs.content or []
        ]

    assert whole.choices[0].logprobs
    assert whole.choices[0].logprobs.content == streamed
    assert "".join(scored.token for scored in streamed) == "Hi there."
    assert [len(scored.top_logprobs) for scored in streamed] == [1] * len(streamed)


async def test_several_answers_are_as_each_would_be_alone(models: Config) -> None:
    asked: dict[str, Any] = {"model": "chatty", "messages": HELLO, "max_tokens": 5}
    async with running(config=models) as server:
        both = (await server.post("/v1/chat/completions", **asked, n=2, seed=7)).json()
        second = (await server.post("/v1/chat/completions", **asked, seed=8)).json()
        streamed = await server.post("/v1/chat/completions", **asked, n=2, seed=7, stream=True)

    texts = [choice["message"]["content"] for choice in both["choices"]]
    pieces = ["", ""]
    for chunk in frames(streamed.text)[:-1]:
        for choice in chunk["choices"]:
            pieces[choice["index"]] += choice["delta"].get("content", "")
    assert texts[1] == second["choices"][0]["message"]["content"]
    assert pieces == texts
    assert both["usage"]["completion_tokens"] == 10


async def test_a_model_searches_the_web_when_the_request_says_so() -> None:
    page = SearchResultConfig(title="Tea", url="https://tea.example/", snippet="All about tea.")
    provider = SearchProviderConfig(type="static", results=(page,))
    config = Config(web_search=WebSearchConfig(providers=(provider,)))
    model = scripted(call("web_search", query="tea"), "Tea [1] is nice.")
    async with running(model, config=config, tools=()) as server:
        response = await server.openai.chat.completions.create(
            model="scripted",
            messages=HELLO,
            web_search_options={
                "search_context_size": "low",
                "user_location": {"type": "approximate", "approximate": {"city": "Oslo"}},
            },
        )

    message = response.choices[0].message
    assert [tool.name for tool in model.requests[0].tools] == ["web_search", "web_fetch"]
    assert "Oslo" in model.requests[0].tools[0].description
    assert [one.url_citation.model_dump() for one in message.annotations or ()] == [
        {"url": "https://tea.example/", "title": "Tea", "start_index": 4, "end_index": 7}
    ]


async def test_mcp_servers_are_there_for_requests_that_name_them() -> None:
    demo = McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo"))
    config = Config(tools=(), mcp_servers={"demo": demo})
    model = scripted(call("demo__add", a=1, b=2), "It is 3.")
    async with running(model, config=config) as server:
        await server.runtime.wait_servers_ready()
        named = await server.post(
            "/v1/chat/completions",
            model="scripted",
            messages=HELLO,
            metadata={"mcp_servers": "demo"},
        )
        unknown = await server.post(
            "/v1/chat/completions",
            model="scripted",
            messages=HELLO,
            metadata={"mcp_servers": "nope"},
        )

    assert named.json()["choices"][0]["message"]["content"] == "It is 3."
    assert [one["type"] for one in named.json()["kronk"]["activity"]] == [
        "tool_started",
        "tool_finished",
    ]
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "metadata.mcp_servers")


async def test_results_of_mcp_servers_that_were_cut_can_be_read_on() -> None:
    demo = McpServerConfig(
        command=sys.executable, args=("-m", "kronk_mcp_servers.demo"), max_output_tokens=2
    )
    config = Config(tools=(), mcp_servers={"demo": demo})

    def reads_on(request: ChatRequest) -> Piece:
        found = re.search("output://demo/[a-z]{10}", request.messages[-1].text)
        assert found
        return call("read_resource", uri=found[0], start=8)

    model = scripted(
        call("demo__echo", text="one two three four"),
        reads_on,
        "Done.",
    )
    async with running(model, config=config) as server:
        await server.runtime.wait_servers_ready()
        chosen = {"mcp_servers": "demo"}
        await server.post("/v1/chat/completions", model="scripted", messages=HELLO, metadata=chosen)

    assert model.requests[2].messages[-1].text.endswith("three four")


async def test_a_custom_tool_gets_one_text_that_its_grammar_allows() -> None:
    tool: Any = {
        "type": "custom",
        "custom": {
            "name": "dial",
            "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+"}},
        },
    }
    asked: Any = {"model": "scripted", "messages": HELLO, "tools": [tool]}
    asked["tool_choice"] = {"type": "custom", "custom": {"name": "dial"}}
    model = scripted(call("dial", input="911"), call("dial", input="911"))
    async with running(model) as server:
        whole = await server.openai.chat.completions.create(**asked)
        stream = await server.post("/v1/chat/completions", **asked, stream=True)

    [made] = whole.choices[0].message.tool_calls or []
    assert made.type == "custom"
    assert (made.custom.name, made.custom.input) == ("dial", "911")
    deltas = [c["choices"][0]["delta"].get("tool_calls") for c in frames(stream.text)[:-1]]
    assert [one[0]["custom"] for one in deltas if one] == [{"name": "dial", "input": "911"}]
    schema: Any = model.requests[0].tools[0].parameters
    assert schema["properties"]["input"]["pattern"] == "^(?:[0-9]+)$"


@pytest.mark.e2e
async def test_a_real_model_calls_answers_and_streams_the_same() -> None:
    id = "SmolLM2-135M-Instruct.Q4_1"
    schema: Any = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": schema, "strict": True},
    }
    asked: Any = {"model": id, "messages": HELLO, "seed": 3, "max_tokens": 24}
    async with running(config=Config(tools=())) as server:
        create = server.openai.chat.completions.create
        called = await create(**asked, tools=[WEATHER], tool_choice="required")
        formed = await create(**asked, response_format=form)
        scored = await create(**asked, logprobs=True, top_logprobs=2)
        chunks = [
            choice
            async for chunk in await create(**asked, logprobs=True, top_logprobs=2, stream=True)
            for choice in chunk.choices
        ]

    [made] = function_calls(called.choices[0].message)
    assert (made.function.name, called.choices[0].finish_reason) == ("weather", "tool_calls")
    assert set(json.loads(made.function.arguments)) == {"place"}
    assert json.loads(formed.choices[0].message.content or "")["n"] in (1, 2)
    text = "".join(choice.delta.content or "" for choice in chunks)
    tokens = [t for c in chunks if c.logprobs for t in c.logprobs.content or ()]
    assert text == scored.choices[0].message.content
    assert scored.choices[0].logprobs
    assert tokens == scored.choices[0].logprobs.content
    assert scored.usage
    assert scored.usage.prompt_tokens_details
    assert scored.usage.prompt_tokens_details.cached_tokens


@pytest.mark.parametrize("grammar", ["x", "\x00", "root ::= nothing"])
async def test_a_grammar_that_is_none_is_refused(models: Config, grammar: str) -> None:
    async with running(config=models) as server:
        response = await server.post(
            "/v1/chat/completions", model="chatty", messages=HELLO, grammar=grammar
        )

    assert response.status_code == 400, response.text


async def test_half_a_character_is_refused() -> None:
    body = '{"model": "scripted", "messages": [], "json_schema": {"const": "\\ud800"}}'
    async with running(scripted()) as server:
        response = await server.http.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )

    assert response.status_code == 400
    assert "unpaired surrogate" in response.json()["error"]["message"]
