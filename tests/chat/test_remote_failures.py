"""Failures of an upstream, and the errors they become."""

# ruff: noqa: E501  # the table has one case a line

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

import pytest
from chat.scripted_upstream import ScriptedUpstream, begin_stream, chunk, said, send
from loopback_web import Answer

from kronk_agent import Message
from kronk_agent.chat.remote import RemoteChatModel, Upstream
from kronk_agent.errors import (
    ContextLengthError,
    InvalidRequestError,
    KronkError,
    ModelError,
    OverloadedError,
    UpstreamError,
)
from kronk_agent.messages import TextDelta
from kronk_agent.model import ChatRequest
from kronk_agent.testing import collect

ASK = ChatRequest(messages=(Message.user("Hello"),))
KEY = "sk-hunter2"


async def failure(upstream: Upstream) -> KronkError:
    async with RemoteChatModel.open(upstream) as model:
        with pytest.raises(KronkError) as caught:
            await collect(model.stream(ASK))
    return caught.value


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(json.dumps(body).encode(), "application/json", status, headers or {})


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (answer(400, {"error": {"message": "no such field", "param": "top_k"}}), InvalidRequestError, "answers 400: no such field"),
        (answer(422, {"detail": [{"loc": ["body", "n"]}]}), InvalidRequestError, 'answers 422: [{"loc": ["body", "n"]}]'),
        (answer(400, {"object": "error", "message": "flat"}), InvalidRequestError, "answers 400: flat"),
        (answer(401, {"error": {"message": f"no such key: {KEY}"}}), UpstreamError, "answers 401: no such key: *** (check the model's api_key)"),
        (answer(404, {"error": "model 'm' not found"}), UpstreamError, "answers 404: model 'm' not found (check the model's url, including /v1, and its name)"),
        (answer(302, {}, {"Location": "https://x.example/v1"}), UpstreamError, "answers 302: redirected to https://x.example/v1; set the model's url to it"),
        (Answer(b"<h1>Bad  Gateway</h1>", "text/html", 502), UpstreamError, "answers 502: <h1>Bad Gateway</h1>"),
        (Answer(b"x" * 100_000, "text/html", 500), UpstreamError, f"answers 500: {'x' * 500}"),
    ],
)  # fmt: skip
async def test_an_error_status_is_explained(
    scripted: ScriptedUpstream, response: Answer, kind: type[KronkError], words: str
) -> None:
    scripted.will_answer(response)

    error = await failure(scripted.upstream(api_key=KEY))

    assert type(error) is kind
    assert str(error) == f"{scripted.url}/chat/completions {words}"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"error": {"message": "no", "param": "seed"}}, "seed"),
        ({"error": {"message": "no", "code": "context_length_exceeded"}}, "messages"),
        ({"message": "This model's maximum context length is 10 tokens."}, "messages"),
        ({"error": {"message": "no"}}, None),
    ],
)
async def test_a_refusal_names_the_field_at_fault(
    scripted: ScriptedUpstream, body: object, param: str | None
) -> None:
    scripted.will_answer(answer(400, body))

    error = await failure(scripted.upstream())

    assert isinstance(error, InvalidRequestError)
    assert error.param == param


async def test_llama_server_says_how_much_too_long_a_prompt_is(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(answer(400, {"error": {"n_prompt_tokens": 30, "n_ctx": 20}}))

    error = await failure(scripted.upstream())

    assert isinstance(error, ContextLengthError)
    assert (error.num_prompt_tokens, error.context_length) == (30, 20)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "17"}, 17.0),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (503, {"Retry-After": "soon"}, 5.0),
        (429, {}, 5.0),
    ],
)
async def test_an_overloaded_upstream_says_when_to_retry(
    scripted: ScriptedUpstream, status: int, headers: Mapping[str, str], seconds: float
) -> None:
    scripted.will_answer(answer(status, {"error": {"message": "busy"}}, headers))

    error = await failure(scripted.upstream())

    assert isinstance(error, OverloadedError)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([chunk(content="Hel")], "ended the stream in the middle of its answer"),
        ([{"error": {"message": f"out of memory, {KEY}"}}], "failed: out of memory, ***"),
        ([{"error": "out of memory"}], "failed: out of memory"),
        ([{"choices": 5}], "sent an invalid chat completion chunk"),
        (said("Hel", finish_reason="content_filter"), "ended its answer early: content_filter"),
        ([chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])], "sent part of a tool call without a name"),
    ],
)  # fmt: skip
async def test_an_invalid_answer_is_an_error(
    scripted: ScriptedUpstream, chunks: list[dict[str, object]], words: str
) -> None:
    scripted.will_answer(chunks)

    error = await failure(scripted.upstream(api_key=KEY))

    assert type(error) is UpstreamError
    assert str(error) == f"{scripted.url} {words}"


async def test_an_upstream_that_disconnects_is_an_error(scripted: ScriptedUpstream) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        send(handler, chunk(content="Hel"))

    scripted.will_answer(hang_up)

    assert "closed the connection" in str(await failure(scripted.upstream()))


async def test_an_upstream_that_stalls_is_an_error(scripted: ScriptedUpstream) -> None:
    def fall_silent(handler: BaseHTTPRequestHandler) -> None:
        begin_stream(handler)
        send(handler, chunk(content="Hel"))
        handler.connection.recv(1)

    scripted.will_answer(fall_silent)
    async with RemoteChatModel.open(scripted.upstream(timeout_seconds=1)) as model:
        stream = model.stream(ASK)
        assert await anext(stream) == TextDelta("Hel")
        with pytest.raises(UpstreamError, match=r"sent nothing for 1 seconds"):
            await anext(stream)


async def test_an_answer_that_is_not_a_stream_is_an_error(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(Answer(b"{}", "application/json", headers={"Content-Type": "text/plain"}))

    assert "did not send an event stream" in str(await failure(scripted.upstream()))


async def test_an_unreachable_upstream_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    upstream = Upstream(url=f"http://127.0.0.1:{port}/v1", model="m", context_length=4096)

    assert "cannot be reached" in str(await failure(upstream))
    with pytest.raises(ModelError, match="cannot be reached"):
        async with RemoteChatModel.open(Upstream(url=upstream.url, model="m")):
            pass


async def test_the_key_is_sent_and_never_shown(
    scripted: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.will_answer(said("Hi"))
    upstream = scripted.upstream(api_key=KEY)

    with caplog.at_level(logging.DEBUG):
        async with RemoteChatModel.open(upstream) as model:
            await collect(model.stream(ASK))

    assert scripted.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text + repr(upstream)
