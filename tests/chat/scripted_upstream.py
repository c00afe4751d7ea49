"""An OpenAI-compatible server on 127.0.0.1 with scripted answers.

It stands for the far side of the network: it sends the same bytes as such servers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any, TypeAlias

from loopback_web import Answer, LoopbackWeb, Received

from kronk_agent.chat.remote import Upstream

Chunk: TypeAlias = dict[str, Any]
Script: TypeAlias = Sequence[Chunk] | Answer | Callable[[BaseHTTPRequestHandler], None]

USAGE: Chunk = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class ScriptedUpstream:
    """Answers each chat completion with the next script."""

    def __init__(self, web: LoopbackWeb) -> None:
        self._web = web
        self._scripts: list[Script] = []
        web.answers["/v1/chat/completions"] = self._answer

    @property
    def url(self) -> str:
        return f"{self._web.url}/v1"

    @property
    def requests(self) -> list[Received]:
        return self._web.requests

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked for, as JSON."""
        return [json.loads(request.body) for request in self._web.requests if request.body]

    def will_answer(self, *scripts: Script) -> None:
        self._scripts += scripts

    def has_models(self, *entries: Chunk) -> None:
        body = json.dumps({"object": "list", "data": entries}).encode()
        self._web.answers["/v1/models"] = Answer(body, "application/json")

    def upstream(self, **changes: Any) -> Upstream:
        defaults: dict[str, Any] = {"url": self.url, "model": "m", "context_length": 4096}
        return Upstream(**defaults | changes)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        script = self._scripts.pop(0)
        if callable(script):
            script(handler)
            return
        if isinstance(script, Answer):
            handler.send_response(script.status)
            for name, value in script.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(script.body)
            return
        begin_stream(handler)
        for chunk in script:
            send(handler, chunk)
        handler.wfile.write(b"data: [DONE]\n\n")


def begin_stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.end_headers()


def send(handler: BaseHTTPRequestHandler, chunk: Chunk) -> None:
    handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())


def chunk(finish_reason: str | None = None, **delta: Any) -> Chunk:
    """A piece of an answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], "usage": None}


def usage(**counts: Any) -> Chunk:
    """The last chunk, where a request has asked for usage."""
    return {"object": "chat.completion.chunk", "choices": [], "usage": counts or USAGE}


def said(*texts: str, finish_reason: str = "stop") -> list[Chunk]:
    """An answer in words."""
    return [*(chunk(content=text) for text in texts), chunk(finish_reason), usage()]


def call_chunk(
    name: str | None = None, arguments: str = "", *, index: int | None = 0, id: str | None = None
) -> Chunk:
    """A piece of a call; the first one of a call has a name."""
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    call: Chunk = {"index": index, "function": function}
    return chunk(tool_calls=[call if id is None else {**call, "id": id, "type": "function"}])


def called(*calls: tuple[str, str], finish_reason: str = "tool_calls") -> list[Chunk]:
    """An answer of calls: names and arguments, each in two pieces."""
    pieces = [
        piece
        for index, (name, arguments) in enumerate(calls)
        for piece in (
            call_chunk(name, arguments[:3], index=index, id=f"theirs_{index}"),
            call_chunk(None, arguments[3:], index=index),
        )
    ]
    return [*pieces, chunk(finish_reason), usage()]
