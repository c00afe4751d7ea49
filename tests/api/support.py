"""A server on loopback, as people run it, with a script or a real model behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from limits import seconds
from openai import AsyncOpenAI
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
)

from kronk_agent import Config, Runtime, tool
from kronk_agent.api import create_app
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.config import SessionsConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.model import ChatModel
from kronk_agent.testing import ScriptedModel, Turn
from kronk_agent.tools import Tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}


@dataclass(frozen=True)
class Server:
    """One that runs."""

    url: str
    runtime: Runtime
    http: httpx2.AsyncClient
    openai: AsyncOpenAI

    async def post(self, path: str, **body: object) -> httpx2.Response:
        return await self.http.post(path, json=body)


@asynccontextmanager
async def running(
    model: ChatModel | None = None, *, config: Config | None = None, tools: Sequence[Tool] = (add,)
) -> AsyncIterator[Server]:
    """A server; None is the model of the configuration, the starter model by default.

    What it keeps it keeps in memory, unless the configuration says where.
    """
    config = config or Config(tools=())
    if config.sessions.url is None:
        config = config.model_copy(update={"sessions": SessionsConfig(url="sqlite://")})
    async with (
        Runtime.open(config, tools=tools, model=model) as runtime,
        serving_at(create_app(runtime), bound_to_loopback(config.server)) as url,
        httpx2.AsyncClient(base_url=url, timeout=seconds(60)) as http,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as openai,
    ):
        yield Server(url, runtime, http, openai)


def bound_to_loopback(config: ServerConfig) -> ServerConfig:
    return config.model_copy(update={"host": "127.0.0.1", "port": 0, "drain_seconds": 5})


def scripted(*turns: Turn) -> ScriptedModel:
    return ScriptedModel(turns)


def frames(body: str) -> list[Any]:
    """What the data: lines of a stream hold; ``[DONE]`` as it is."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def steady(value: Any) -> Any:
    """JSON without what is another every time: ids, moments, durations."""
    if isinstance(value, dict):
        return {key: "…" if key in _UNSTEADY else steady(item) for key, item in value.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value


_UNSTEADY = {"created", "system_fingerprint", "timings", "seconds"}


def function_calls(message: ChatCompletionMessage) -> list[ChatCompletionMessageFunctionToolCall]:
    return [call for call in message.tool_calls or () if call.type == "function"]


def echoed(message: ChatCompletionMessage) -> Any:
    """A message of ours as a client sends it back."""
    return message.to_dict()
