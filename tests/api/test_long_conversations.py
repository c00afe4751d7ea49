"""Conversations longer than the context, over each protocol: agents go on, plain models refuse."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from api.responses.support import ask, refusal
from api.support import frames, running

from kronk_agent import tool
from kronk_agent.config.schema.agent import AgentConfig
from kronk_agent.config.schema.config import Config
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, call

SUMMARY = json.dumps({"summary": "Ships.", "facts": ["The sea is wide."], "open_tasks": []})
CONTEXT_LENGTH = 1000
AGENT = Config(tools=(), agent=AgentConfig(max_steps=50))


def talk(turns: int = 10) -> list[Any]:
    messages: list[Any] = []
    for n in range(turns):
        messages.append({"role": "user", "content": f"{n} " + "word " * 100})
        messages.append({"role": "assistant", "content": f"Answer {n}."})
    return [*messages, {"role": "user", "content": "And now?"}]


def answering(*answers: str) -> ScriptedModel:
    """A model that gives these answers, and a summary whenever it is asked for one."""
    said = iter(answers)

    def turn(request: ChatRequest) -> Piece:
        return SUMMARY if request.response_format.type == "json_schema" else next(said)

    return ScriptedModel([turn] * 20, context_length=CONTEXT_LENGTH)


@tool
def look(key: int) -> str:
    """Look up a key."""
    return f"{key}: " + "word " * 30


def looking_up(times: int) -> ScriptedModel:
    """A model that makes so many calls before it answers."""
    numbers = itertools.count(1)

    def turn(request: ChatRequest) -> Piece:
        if request.response_format.type == "json_schema":
            return SUMMARY
        number = next(numbers)
        return call("look", key=number) if number <= times else "All found."

    return ScriptedModel([turn] * 100, context_length=CONTEXT_LENGTH)


async def test_an_agent_goes_on_over_chat_completions() -> None:
    model = answering("First.", "Second.")
    messages = talk()
    async with running(model, config=AGENT) as server:
        first = await server.post("/v1/chat/completions", model="agent/default", messages=messages)
        said = first.json()["choices"][0]["message"]["content"]
        messages += [
            {"role": "assistant", "content": said},
            {"role": "user", "content": "And then?"},
        ]
        second = await server.post("/v1/chat/completions", model="agent/default", messages=messages)

    assert (said, second.json()["choices"][0]["message"]["content"]) == ("First.", "Second.")
    kinds = [request.response_format.type for request in model.requests]
    assert kinds == ["json_schema", "text", "text"]  # the second request needs no new summary
    usage = first.json()["usage"]
    assert usage["prompt_tokens"] == sum(
        [await model.count_prompt_tokens(request) for request in model.requests[:2]]
    )


async def test_a_stream_of_chat_completions_tells_that_the_context_was_compacted() -> None:
    async with running(answering("First."), config=AGENT) as server:
        answer = await server.post(
            "/v1/chat/completions", model="agent/default", messages=talk(), stream=True
        )

    told = [f["kronk"] for f in frames(answer.text) if isinstance(f, dict) and f.get("kronk")]
    assert [event["kind"] for event in told if event["type"] == "context_compacted"] == ["summary"]


async def test_an_agent_goes_on_over_messages() -> None:
    async with running(answering("First."), config=AGENT) as server:
        answer = await server.post(
            "/v1/messages", model="agent/default", max_tokens=50, messages=talk()
        )

    assert [block.get("text") for block in answer.json()["content"]] == ["First."]


async def test_an_agent_goes_on_over_responses_and_the_store_keeps_the_originals() -> None:
    model = looking_up(20)
    async with running(model, config=AGENT, tools=[look]) as server:
        first = await ask(server, model="agent/default", input="Look up 20 keys.", tools=[])
        kept = await server.http.get(f"/v1/responses/{first['id']}")
        store = await server.runtime.sessions()
        said = await store.owned_by("").conversation_of(first["id"])

    assert first["output"][-1]["content"][0]["text"] == "All found."
    assert all(notice.startswith("context: ") for notice in first["kronk"]["notices"])
    assert kept.json()["status"] == "completed"
    assert said is not None
    assert Message.user("Look up 20 keys.") == said[0]
    assert [message.text[:4] for message in said if message.role == "tool"] == [
        f"{n}: w"[:4] for n in range(1, 21)
    ]


async def test_truncation_auto_shortens_within_one_turn_of_the_user() -> None:
    chain: list[Any] = [{"role": "user", "content": "Look up 20 keys."}]
    for n in range(20):
        chain += [
            {"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": f"c{n}", "output": "word " * 80},
        ]
    model = answering("Never.", "Found.")
    async with running(model) as server:
        refused = await refusal(server, input=chain)
        response = await ask(server, input=chain, truncation="auto")

    assert refused[0] == 400
    assert "maximum context length is 1000 tokens" in refused[1]
    assert response["output"][0]["content"][0]["text"] == "Found."
    assert response["truncation"] == "auto"
    shown = model.requests[-1].messages
    assert Message.user("Look up 20 keys.") in shown
    calls = [made.id for message in shown for made in message.tool_calls]
    assert calls == [message.tool_call_id for message in shown if message.role == "tool"]


async def test_an_agent_with_truncation_disabled_refuses_what_is_too_long() -> None:
    async with running(answering("Never."), config=AGENT) as server:
        status, words, _ = await refusal(
            server, model="agent/default", input=talk(), truncation="disabled"
        )

    assert status == 400
    assert "maximum context length is 1000 tokens" in words


@pytest.mark.parametrize(
    ("path", "more"), [("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 50})]
)
async def test_a_plain_model_refuses_what_is_too_long(path: str, more: dict[str, Any]) -> None:
    model = answering("Never.")
    async with running(model) as server:
        answer = await server.post(path, model="scripted", messages=talk(), **more)

    assert answer.status_code == 400
    assert "maximum context length is 1000 tokens" in answer.text
