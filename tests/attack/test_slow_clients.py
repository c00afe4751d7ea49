"""Slow and silent clients cost nothing: nobody is kept out by requests that never become whole."""

from __future__ import annotations

import resource
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from anyio.abc import ByteStream
from api.support import Server, bound_to_loopback, running, scripted
from attack import support as program
from limits import seconds
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.testing import ScriptedModel

pytestmark = pytest.mark.usefixtures("own_folders")

DOOR = "requests that never become whole"

_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
TRIES: Mapping[str, bytes] = {
    "nothing": b"",
    "half a request line": b"GET /hea",
    "half a head": _HEAD,
    "a head without its body": _HEAD + b"Content-Length: 1000\r\n\r\n",
    "a body without its end": _HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a chunk without its end": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{",
    "a request, and half of the next": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea",
}
"""What a client sends before it falls silent."""

MANY = 260


def serving(**server: Any) -> Any:
    return running(scripted(), config=Config(tools=(), server=ServerConfig(**server)))


@asynccontextmanager
async def connected(server: Server, *sent: bytes) -> AsyncIterator[list[ByteStream]]:
    """A connection for each of the texts, which it has sent."""
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    async with AsyncExitStack() as opened:
        streams: list[ByteStream] = []
        for text in sent:
            stream = await anyio.connect_tcp(address.hostname, address.port)
            await opened.enter_async_context(stream)
            if text:
                await stream.send(text)
            streams.append(stream)
        yield streams


async def until_closed(stream: ByteStream) -> bytes:
    """All that comes until the server closes the connection."""
    heard = b""
    try:
        while True:
            heard += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return heard


@pytest.mark.parametrize("kind", TRIES)
async def test_a_connection_that_falls_silent_is_closed(kind: str) -> None:
    async with serving(read_seconds=0.2) as server, connected(server, TRIES[kind]) as streams:
        with anyio.fail_after(seconds(10)):
            await until_closed(streams[0])
        assert (await server.http.get("/health")).status_code == 200


@pytest.mark.parametrize("kind", TRIES)
async def test_many_that_fall_silent_keep_nobody_out(kind: str) -> None:
    async with serving() as server, connected(server, *[TRIES[kind]] * MANY):
        with anyio.fail_after(seconds(20)):
            models = await server.http.get("/v1/models")
            posted = await server.http.post("/v1/tokenize", json={})

    assert (models.status_code, posted.status_code) == (200, 400)


@pytest.mark.parametrize("kind", TRIES)
async def test_where_connections_run_out_those_that_wait_make_room(kind: str) -> None:
    async with serving(max_connections=8) as server, connected(server, *[TRIES[kind]] * 40):
        with anyio.fail_after(seconds(20)):
            for _ in range(3):
                async with httpx2.AsyncClient(base_url=server.url, timeout=seconds(10)) as client:
                    assert (await client.get("/health")).status_code == 200


async def test_a_caller_that_is_sending_much_at_once_is_refused_alone() -> None:
    ours, theirs = KeyFile().create("ours"), KeyFile().create("theirs")
    begun = _HEAD + f"X-Api-Key: {theirs}\r\nContent-Length: 1024\r\n\r\n".encode() + b" " * 1023
    first = anyio.Event()
    heard: list[bytes] = []

    async def hear(stream: ByteStream) -> None:
        heard.append(await stream.receive())
        first.set()

    async with (
        serving(max_body_bytes=1024, require_api_key=True) as server,
        connected(server, *[begun] * 9) as streams,
        anyio.create_task_group() as tasks,
    ):
        for stream in streams:
            tasks.start_soon(hear, stream)
        with anyio.fail_after(seconds(10)):
            await first.wait()
        other = await server.http.post("/v1/tokenize", json={}, headers={"x-api-key": ours})
        assert other.status_code == 400
        tasks.cancel_scope.cancel()

    assert [answer.startswith(b"HTTP/1.1 503") for answer in heard] == [True]


async def test_a_reader_that_never_reads_is_cut_off() -> None:
    cut_off = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b" " * 1_000_000
                await anyio.lowlevel.checkpoint()
        finally:
            cut_off.set()

    async def answer(_: Request) -> Response:
        return StreamingResponse(endless())

    app = Starlette(routes=[Route("/", answer)])
    config = bound_to_loopback(ServerConfig(write_seconds=0.2))
    async with serving_at(app, config) as url:
        address = urlsplit(url)
        with socket.socket() as client, anyio.fail_after(seconds(10)):
            client.connect((address.hostname, address.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await cut_off.wait()


@pytest.mark.parametrize("has_keys", [True, False])
async def test_one_caller_has_a_share_of_the_server(has_keys: bool) -> None:
    end = anyio.Event()
    model = ScriptedModel([[end, "Hi"]] * 4)
    config = Config(tools=(), server=ServerConfig(max_requests=4, require_api_key=has_keys))
    keys = [{"x-api-key": KeyFile().create(name)} for name in ("ours", "theirs")]
    ask = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
    async with running(model, config=config) as server, anyio.create_task_group() as tasks:

        async def hold() -> None:
            await server.http.post("/v1/chat/completions", json=ask, headers=keys[0])

        for _ in range(3):
            tasks.start_soon(hold)
        while len(model.requests) < 3:
            await anyio.wait_all_tasks_blocked()
        found = [
            (await server.http.get("/v1/models", headers=headers)).status_code for headers in keys
        ]
        assert found == [429, 200 if has_keys else 429]
        end.set()


@pytest.mark.e2e
def test_half_request_lines_do_not_silence_a_server_with_few_files(tmp_path: Path) -> None:
    """As it was seen: `ulimit -n 128`, and 140 half lines."""

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    with program.serving(tmp_path, before=few_files) as served, ExitStack() as opened:
        address = urlsplit(served.url)
        for _ in range(140):
            begun = socket.create_connection((address.hostname or "", address.port or 0))
            opened.enter_context(begun).sendall(TRIES["half a request line"])
        found = [
            httpx2.get(f"{served.url}/health", timeout=seconds(10)).status_code for _ in range(3)
        ]

    assert found == [200] * 3
