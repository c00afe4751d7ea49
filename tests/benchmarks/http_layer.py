"""What the HTTP layer costs: a server whose model takes no time, in a process of its own.

``make bench-http`` prints tokens per second through one connection and through 32, how long the
first byte takes, what 200 streams that are held take in memory, and what 1,000 clients leave that
connect and vanish.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import httpx2
import psutil

from kronk_agent import Config, Runtime
from kronk_agent.api import create_app
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel

_MANY = 100_000
_SPEED_TOKENS = 20_000
_STREAMS = 32
_HELD = 200
_VANISHING = 1_000
_FIRST_BYTES = 300


async def _serve() -> None:
    """Print the address; answer `N` with N tokens, and `hold` with one and then nothing."""

    def turn(request: ChatRequest) -> list[Piece]:
        asked = request.messages[-1].text
        return ["token", anyio.Event()] if asked == "hold" else [" token" * int(asked)]

    server = ServerConfig(
        port=0,
        drain_seconds=0,
        max_requests=10_000,
        max_requests_per_caller=10_000,
        max_connections=100_000,
    )
    config = Config(tools=(), server=server)
    model = ScriptedModel([turn] * _MANY, context_length=_MANY)
    async with (
        Runtime.open(config, model=model) as runtime,
        serving_at(create_app(runtime), server) as url,
    ):
        print(json.dumps({"url": url}), flush=True)
        await anyio.sleep_forever()


@contextmanager
def _server() -> Iterator[tuple[str, psutil.Process]]:
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.http_layer", "--serve"],
            stdout=subprocess.PIPE,
            env={"HOME": home, "PYTHONPATH": ":".join(sys.path)},
        ) as program,
    ):
        assert program.stdout is not None
        try:
            yield json.loads(program.stdout.readline())["url"], psutil.Process(program.pid)
        finally:
            program.kill()


def _body(text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "scripted", "messages": messages, "stream": True}


async def _read(client: httpx2.AsyncClient, num_tokens: int) -> None:
    num_frames = 0
    async with client.stream(
        "POST", "/v1/chat/completions", json=_body(str(num_tokens))
    ) as response:
        async for data in response.aiter_raw():
            num_frames += data.count(b"data: ")
    assert num_frames == num_tokens + 3, num_frames  # the role, the finish reason, [DONE]


async def _speed(client: httpx2.AsyncClient, connections: int) -> float:
    """Tokens per second, over all of them."""
    each = _SPEED_TOKENS // connections
    started = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(connections):
            tasks.start_soon(_read, client, each)
    return each * connections / (time.perf_counter() - started)


async def _first_bytes(client: httpx2.AsyncClient) -> list[float]:
    """Milliseconds until each of some requests, one after another, gave its first byte."""
    taken = []
    for _ in range(_FIRST_BYTES):
        started = time.perf_counter()
        async with client.stream("POST", "/v1/chat/completions", json=_body("1")) as response:
            async for _ in response.aiter_raw():
                taken.append((time.perf_counter() - started) * 1000)
                break
    return taken


async def _hold(client: httpx2.AsyncClient, server: psutil.Process) -> float:
    """MiB that the server takes more while it holds streams, per stream."""
    before = server.memory_info().rss
    taken = 0
    async with anyio.create_task_group() as tasks:
        begun = [anyio.Event() for _ in range(_HELD)]

        async def hold(mine: anyio.Event) -> None:
            async with client.stream("POST", "/v1/chat/completions", json=_body("hold")) as stream:
                async for _ in stream.aiter_raw():
                    mine.set()

        for event in begun:
            tasks.start_soon(hold, event)
        for event in begun:
            await event.wait()
        taken = server.memory_info().rss - before
        tasks.cancel_scope.cancel()
    return taken / _HELD / 2**20


async def _vanish(client: httpx2.AsyncClient) -> int:
    """Requests the server still has under way after all clients have gone."""
    limiter = anyio.CapacityLimiter(50)

    async def vanish() -> None:
        async with (
            limiter,
            client.stream("POST", "/v1/chat/completions", json=_body("hold")) as stream,
        ):
            async for _ in stream.aiter_raw():
                break

    async with anyio.create_task_group() as tasks:
        for _ in range(_VANISHING):
            tasks.start_soon(vanish)
    deadline = time.perf_counter() + 5
    left = await _under_way(client)
    while left and time.perf_counter() < deadline:
        await anyio.sleep(0.05)
        left = await _under_way(client)
    return left


async def _under_way(client: httpx2.AsyncClient) -> int:
    text = (await client.get("/metrics")).text
    found = re.search(r"^kronk_agent_http_requests_in_progress (\S+)$", text, re.MULTILINE)
    assert found
    return int(float(found[1])) - 1  # this one


async def _measure() -> None:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=50)
    with _server() as (url, server):
        async with httpx2.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
            await _read(client, 1000)  # warm
            print(f"one connection:      {await _speed(client, 1):8,.0f} tokens/s")
            print(f"{_STREAMS} connections:      {await _speed(client, _STREAMS):8,.0f} tokens/s")
            taken = await _first_bytes(client)
            p99 = statistics.quantiles(taken, n=100)[98]
            print(
                f"first byte:          median {statistics.median(taken):.1f} ms, p99 {p99:.1f} ms"
            )
            print(f"{_HELD} streams held:    {await _hold(client, server):8.3f} MiB each")
            print(f"{_VANISHING:,} clients vanish: {await _vanish(client)} requests left")


if __name__ == "__main__":
    anyio.run(_serve if "--serve" in sys.argv else _measure)
