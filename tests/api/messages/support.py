"""A server on loopback, and Anthropic's own client to it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from api.support import add, frames, running

from kronk_agent import Config
from kronk_agent.model import ChatModel
from kronk_agent.testing import ScriptedModel, Turn
from kronk_agent.tools import Tool

USER: dict[str, Any] = {"role": "user", "content": "Hello"}
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather in a place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}
_ID = re.compile(r"\bmsg_[0-9a-f]{24}")


@dataclass(frozen=True)
class Served:
    """A server that runs, with a script behind it."""

    model: ScriptedModel
    anthropic: AsyncAnthropic
    http: httpx2.AsyncClient

    async def post(self, **body: Any) -> httpx2.Response:
        """Ask for a message; what is left out is a plain question."""
        return await self.http.post("/v1/messages", json=asked(**body))

    async def message(self, **body: Any) -> Any:
        """A message that is not streamed, without its id."""
        response = await self.post(**body)
        assert response.status_code == 200, response.text
        return steady(response.json())

    async def streamed(self, **body: Any) -> list[Any]:
        """The events of a message that is."""
        response = await self.post(stream=True, **body)
        assert response.status_code == 200, response.text
        return [steady(frame) for frame in frames(response.text)]

    async def refusal(self, **body: Any) -> str:
        """What a request that can never work is told."""
        response = await self.post(**body)
        error = response.json()
        assert (response.status_code, error["type"]) == (400, "error"), response.text
        assert error["error"]["type"] == "invalid_request_error"
        return str(error["error"]["message"])


def asked(**body: Any) -> dict[str, Any]:
    return {"model": "scripted", "max_tokens": 100, "messages": [USER], **body}


def steady(value: Any) -> Any:
    """JSON without the id of the message."""
    match value:
        case dict():
            return {key: steady(item) for key, item in value.items()}
        case list():
            return [steady(item) for item in value]
        case str():
            return _ID.sub("msg_…", value)
        case _:
            return value


@asynccontextmanager
async def serving(
    *turns: Turn, config: Config | None = None, tools: Sequence[Tool] = (add,)
) -> AsyncIterator[Served]:
    """A server with a script behind it."""
    model = ScriptedModel(turns)
    async with running_with(model, config=config, tools=tools) as (anthropic, http):
        yield Served(model, anthropic, http)


@asynccontextmanager
async def running_with(
    model: ChatModel | None, *, config: Config | None = None, tools: Sequence[Tool] = ()
) -> AsyncIterator[tuple[AsyncAnthropic, httpx2.AsyncClient]]:
    """A server; None is the starter model."""
    async with (
        running(model, config=config, tools=tools) as server,
        AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as anthropic,
    ):
        yield anthropic, server.http
