from __future__ import annotations

import json
import re
from typing import Any

import httpx2
from api.support import Server
from openai.types.responses import FunctionToolParam

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
    "strict": True,
}

_ID = re.compile(r"\b(resp|msg|rs|fc|fco|ctc|ws|mcp|mcpl|mcpa|cmp|conv)_([0-9a-f]{24})\b")
_MOMENTS = {"created_at", "completed_at"}


def steady(value: Any, known: dict[str, str] | None = None) -> Any:
    """JSON without what is another every time: ids are numbered as they come, moments are left."""
    known = {} if known is None else known
    match value:
        case dict():
            return {
                key: "…" if key in _MOMENTS and item is not None else steady(item, known)
                for key, item in value.items()
            }
        case list():
            return [steady(item, known) for item in value]
        case str():
            return _ID.sub(lambda found: _name(found, known), value)
        case _:
            return value


def _name(found: re.Match[str], known: dict[str, str]) -> str:
    number = 1 + sum(name.startswith(f"{found[1]}_") for name in known.values())
    return known.setdefault(found[0], f"{found[1]}_{number}")


def events(body: str) -> list[Any]:
    """The events of a stream; the ``event:`` line of each says its type."""
    found = []
    for frame in body.strip().split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


async def ask(server: Server, **body: Any) -> Any:
    """A response, as JSON."""
    answer = await send(server, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(server: Server, **body: Any) -> httpx2.Response:
    return await server.post("/v1/responses", **{"model": "scripted", "input": "Hello", **body})


async def stream(server: Server, **body: Any) -> list[Any]:
    """The events of a response that is streamed."""
    answer = await send(server, stream=True, **body)
    assert answer.status_code == 200, answer.text
    return events(answer.text)


async def refusal(server: Server, **body: Any) -> tuple[int, str, str | None]:
    """The status of a request that is refused, the words, and the field at fault."""
    answer = await send(server, **body)
    error = answer.json()["error"]
    return answer.status_code, error["message"], error["param"]


def short(event: Any) -> str:
    """An event in a word or two, for the order of things."""
    kind = str(event["type"]).removeprefix("response.")
    at = event.get("output_index")
    return kind if at is None else f"{kind} {at}"
