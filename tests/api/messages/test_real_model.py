"""The Messages API with the starter model behind it, and a real tokenizer, template and grammar."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError
from api.messages.support import USER, WEATHER, running_with, steady
from pydantic import BaseModel

from kronk_agent import Config

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def connected() -> AsyncIterator[AsyncAnthropic]:
    config = Config.model_validate({"tools": (), "engine": {"context_length": 2048}})
    async with running_with(None, config=config) as (anthropic, _):
        yield anthropic


async def asked(client: AsyncAnthropic, **body: Any) -> dict[str, Any]:
    model = (await client.models.list()).data[0].id
    greedy = {"temperature": 0}  # which Anthropic's client has no argument for any more
    return {"model": model, "max_tokens": 24, "messages": [USER], "extra_body": greedy, **body}


async def test_a_stream_put_together_is_the_message() -> None:
    async with connected() as client:
        body = await asked(client, system="Be brief.")
        whole = await client.messages.create(**body)
        async with client.messages.stream(**body) as stream:
            final = await stream.get_final_message()

    one, other = steady(whole.to_dict()), steady(final.to_dict())
    assert prompt_tokens(one) == prompt_tokens(other)
    assert {**one, "usage": {}} == {**other, "usage": {}}
    assert other["usage"]["cache_read_input_tokens"] > 0


def prompt_tokens(message: Any) -> int:
    usage = message["usage"]
    return int(usage["input_tokens"] + usage["cache_read_input_tokens"])


async def test_tokens_are_counted_as_the_prompt_has_them() -> None:
    async with connected() as client:
        body = await asked(client, tools=[WEATHER])
        message = await client.messages.create(**body)
        for name in ("max_tokens", "extra_body"):
            del body[name]
        counted = await client.messages.count_tokens(**body)

    assert counted.input_tokens == prompt_tokens(message.to_dict())


async def test_a_call_that_must_come_comes() -> None:
    async with connected() as client:
        choice = {"type": "tool", "name": "weather"}
        message = await client.messages.create(
            **await asked(client, tools=[WEATHER], tool_choice=choice, max_tokens=100)
        )

    [use] = message.content
    assert use.type == "tool_use"
    assert (use.name, list(use.input)) == ("weather", ["place"])
    assert message.stop_reason == "tool_use"


class City(BaseModel):
    city: str
    is_capital: bool


async def test_an_answer_has_the_form_it_must_have() -> None:
    async with connected() as client:
        question = {"role": "user", "content": "Name a city."}
        message = await client.messages.parse(
            **await asked(client, messages=[question], output_format=City, max_tokens=100)
        )

    assert isinstance(message.parsed_output, City)


async def test_an_image_is_refused_by_a_model_that_only_reads() -> None:
    async with connected() as client:
        source = {
            "type": "base64",
            "media_type": "image/png",
            "data": base64.b64encode(b"x").decode(),
        }
        messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
        with pytest.raises(BadRequestError, match="this model reads only text"):
            await client.messages.create(**await asked(client, messages=messages))
