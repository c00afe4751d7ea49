"""The Responses API with the starter model behind it: a real tokenizer, template and grammar."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from api.responses.support import WEATHER, events, steady
from api.support import Server, running
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from kronk_agent import Config

pytestmark = pytest.mark.e2e


class Verdict(BaseModel):
    answer: Literal["yes", "no"]
    confidence: int


@asynccontextmanager
async def started() -> AsyncIterator[tuple[Server, dict[str, Any]]]:
    config = Config.model_validate({"tools": (), "engine": {"context_length": 2048}})
    async with running(None, config=config, tools=()) as server:
        model = (await server.openai.models.list()).data[0].id
        yield server, {"model": model, "input": "Say hello.", "max_output_tokens": 24}


async def test_a_stream_ends_with_what_is_not_streamed_at_the_same_seed() -> None:
    async with started() as (server, body):
        body = {**body, "seed": 7, "include": ["message.output_text.logprobs"], "top_logprobs": 2}
        await server.post("/v1/responses", **body)  # so that both find the same in the cache
        whole = (await server.post("/v1/responses", **body)).json()
        streamed = events((await server.post("/v1/responses", **body, stream=True)).text)

    last = streamed[-1]["response"]
    deltas = [event for event in streamed if event["type"] == "response.output_text.delta"]
    (part,) = last["output"][0]["content"]
    assert steady(last) == steady(whole)
    assert "".join(event["delta"] for event in deltas) == part["text"] != ""
    assert [scored for event in deltas for scored in event["logprobs"]] == part["logprobs"]


async def test_a_forced_call_is_valid_and_its_result_is_read() -> None:
    async with started() as (server, body):
        api = server.openai.responses
        roomy = {**body, "max_output_tokens": 200, "temperature": 0}
        asked = await api.create(**roomy, tools=[WEATHER], tool_choice="required")
        assert asked.status == "completed"
        (call,) = asked.output
        assert isinstance(call, ResponseFunctionToolCall)
        answered = await api.create(
            model=body["model"],
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}],
            tools=[WEATHER],
            tool_choice="none",
            previous_response_id=asked.id,
            max_output_tokens=16,
        )

    assert isinstance(json.loads(call.arguments)["place"], str)
    assert answered.output_text
    assert answered.usage is not None
    assert answered.usage.input_tokens_details.cached_tokens > 0


async def test_an_answer_keeps_to_its_form() -> None:
    async with started() as (server, body):
        response = await server.openai.responses.parse(
            **{**body, "max_output_tokens": 200}, text_format=Verdict
        )

    assert isinstance(response.output_parsed, Verdict)


async def test_the_tokens_that_are_counted_are_those_of_the_prompt() -> None:
    async with started() as (server, body):
        api = server.openai.responses
        counted = await api.input_tokens.count(
            model=body["model"], input=body["input"], tools=[WEATHER], instructions="Be brief."
        )
        response = await api.create(**body, tools=[WEATHER], instructions="Be brief.")

    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens
