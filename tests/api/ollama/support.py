"""A server on loopback, and Ollama's own client to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from api.support import Server, running
from ollama import AsyncClient

from kronk_agent import Config
from kronk_agent.model import ChatModel

USER = {"role": "user", "content": "Hello"}
WEATHER: dict[str, Any] = {
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
_UNSTEADY = {"created_at", "total_duration", "load_duration", "prompt_eval_duration", "seconds"}
_UNSTEADY |= {"eval_duration"}


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    server: Server
    ollama: AsyncClient

    async def whole(self, path: str = "/api/chat", **body: Any) -> Any:
        """An answer that is not streamed, without what is another every time."""
        asked = {"model": "scripted", "stream": False, **body}
        response = await self.server.http.post(path, json=asked)
        assert response.status_code == 200, response.text
        return steady(response.json())

    async def lines(self, path: str = "/api/chat", **body: Any) -> list[Any]:
        """The lines of an answer that is."""
        response = await self.server.http.post(path, json={"model": "scripted", **body})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/x-ndjson"
        return [steady(json.loads(line)) for line in response.text.splitlines()]

    async def refusal(self, path: str = "/api/chat", **body: Any) -> tuple[int, str]:
        """The status of a request that is refused, and the words."""
        response = await self.server.http.post(path, json={"model": "scripted", **body})
        answer = response.json()
        assert list(answer) == ["error"]
        return response.status_code, answer["error"]


@asynccontextmanager
async def serving(
    model: ChatModel | None = None, *, config: Config | None = None
) -> AsyncIterator[Served]:
    """A server; None is the model of the configuration, the starter model by default."""
    async with running(model, config=config) as server, AsyncClient(host=server.url) as ollama:
        yield Served(server, ollama)


def steady(value: Any) -> Any:
    """JSON without moments and durations."""
    if isinstance(value, dict):
        return {key: "…" if key in _UNSTEADY else steady(item) for key, item in value.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value
