"""What holds of every stream, whatever protocol it speaks."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from api.support import running, scripted
from limits import seconds

from kronk_agent import Config
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.errors import EngineError, OverloadedError

HELLO: Any = [{"role": "user", "content": "Hello"}]
ASK = {"model": "scripted", "messages": HELLO}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_ends_when_its_client_goes_away(stream: bool) -> None:
    never = anyio.Event()
    asked = anyio.Event()

    def turn(_: object) -> Any:
        asked.set()
        return ["Hi", never]

    model = scripted(turn)
    async with running(model) as server, anyio.create_task_group() as tasks:

        async def ask() -> None:
            await server.post("/v1/chat/completions", **ASK, stream=stream)

        tasks.start_soon(ask)
        with anyio.fail_after(seconds(5)):
            await asked.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                while not model.num_interrupted:
                    await anyio.wait_all_tasks_blocked()

    assert model.num_interrupted == 1


async def test_a_stream_that_says_nothing_is_kept_alive() -> None:
    heard = anyio.Event()
    config = Config(tools=(), server=ServerConfig(keep_alive_seconds=0.01))
    async with (
        running(scripted([heard, "Hi"]), config=config) as server,
        server.http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as stream,
    ):
        lines = stream.aiter_lines()
        first = await anext(lines)
        heard.set()
        rest = [line async for line in lines]

    assert first == ": keep-alive"
    assert rest[-2:] == ["data: [DONE]", ""]


@pytest.mark.parametrize(
    ("failure", "status", "headers"),
    [
        (EngineError("it broke"), 500, {}),
        (OverloadedError("the queue is full", retry_after_seconds=1.5), 503, {"retry-after": "2"}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_is_an_http_status(
    failure: Exception, status: int, headers: dict[str, str], stream: bool
) -> None:
    async with running(scripted(failure)) as server:
        response = await server.post("/v1/chat/completions", **ASK, stream=stream)

    assert response.status_code == status
    assert response.json()["error"]["message"] == str(failure)
    assert headers.items() <= dict(response.headers).items()


async def test_a_failure_after_it_is_told_in_the_stream() -> None:
    async with running(scripted(["Hi", EngineError("it broke")])) as server:
        response = await server.post("/v1/chat/completions", **ASK, stream=True)

    assert response.status_code == 200
    assert '"error":{"message":"it broke","type":"server_error"' in response.text.splitlines()[-2]


async def test_requests_under_way_are_answered_when_the_server_ends() -> None:
    begun, end = anyio.Event(), anyio.Event()

    def turn(_: object) -> Any:
        begun.set()
        return [end, "Hi"]

    texts: list[str] = []
    async with anyio.create_task_group() as tasks, running(scripted(turn)) as server:
        url = f"{server.url}/v1/chat/completions"

        async def ask() -> None:
            async with httpx2.AsyncClient(
                timeout=seconds(5)
            ) as client:  # the server's own is closed with it
                response = await client.post(url, json=ASK)
            texts.append(response.json()["choices"][0]["message"]["content"])

        tasks.start_soon(ask)
        await begun.wait()
        end.set()

    assert texts == ["Hi"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", ASK),
        ("/v1/responses", {"model": "scripted", "input": "Hello"}),
        ("/v1/messages", {**ASK, "max_tokens": 9}),
    ],
)
async def test_the_model_is_told_whether_somebody_reads_along(
    path: str, asked: dict[str, Any], stream: bool
) -> None:
    model = scripted("Hi")
    async with running(model) as server:
        response = await server.post(path, **asked, stream=stream)

    assert response.status_code == 200
    assert [request.streamed for request in model.requests] == [stream]
