"""Requests of all kinds, good and bad, to one server: it answers all, and does not grow.

Prints the server's memory, its open files and how long ``/health`` takes, twenty times.

    PYTHONPATH=tests python -m attack.mixed_requests 10000
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
from attack.support import serving
from limits import seconds

CLIENTS = 8
SAMPLES = 20
CONFIG = """
tools: []
model: null
engine: {cache_ram_mib: 64, cache_disk_mib: 64, context_length: 4096}
server: {share_agent_prefixes: true}
"""
MODEL = "SmolLM2-135M-Instruct.Q4_1"
_MORE_MIB = 150
"""What memory may grow by after the first quarter: caches fill, and allocators keep some."""
_MORE_FILES = 20
_LEAST_FOR_GROWTH = 2_000
"""Requests from which on growth can be told from what a program needs to warm up."""

WORDS = ["tides", "bread", "bees", "glass", "maps", "clocks", "rope", "salt", "ink", "snow"]
DEEP = "[" * 50_000

BAD_BODIES: list[bytes] = [
    b"",
    b"nope",
    b"null",
    b"[1]",
    b"{}",
    b'{"model": 1}',
    b'{"model": "\xff"}',
    DEEP.encode(),
    b'{"model": "no such model", "messages": [], "input": "x", "prompt": "x"}',
    b'{"messages": [{"role": "nobody", "content": "x"}], "input": [{}], "prompt": {}}',
    b'{"max_tokens": -1, "max_output_tokens": 1e400, "temperature": "hot", "stream": 7}',
]
ROUTES = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/tokenize",
    "/v1/detokenize",
    "/v1/conversations",
    "/tokenize",
    "/completion",
    "/apply-template",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/show",
    "/mcp",
]
UNKNOWN = [
    ("GET", "/nothing"),
    ("GET", "/v1/responses/resp_none"),
    ("POST", "/v1/conversations/conv_none/items"),
    ("DELETE", "/v1/conversations/conv_none"),
    ("PATCH", "/v1/chat/completions"),
    ("GET", "/v1/models/none"),
    ("GET", "/../etc/passwd"),
    ("OPTIONS", "/v1/models"),
]


@dataclass(frozen=True, slots=True)
class Sample:
    """How the server is doing after so many requests."""

    requests: int
    memory_mib: float
    open_files: int
    health_ms: float

    def __str__(self) -> str:
        return (
            f"{self.requests:7,} requests  {self.memory_mib:7.0f} MiB  "
            f"{self.open_files:4} open files  /health {self.health_ms:6.1f} ms"
        )


class Requests:
    """One request after the other, each of a kind drawn by chance."""

    def __init__(self, http: httpx2.AsyncClient, chance: random.Random) -> None:
        self._http = http
        self._chance = chance
        self.answers: Counter[tuple[str, int]] = Counter()
        """By kind and status."""

    async def send(self) -> None:
        kinds = {
            self.chat: 4,
            self.streamed: 2,
            self.cancelled: 2,
            self.responses: 3,
            self.messages: 3,
            self.ollama: 2,
            self.completion: 2,
            self.odd: 2,
            self.tokenized: 4,
            self.conversation: 3,
            self.listed: 2,
            self.bad_body: 5,
            self.unknown: 3,
        }
        [kind] = self._chance.choices(list(kinds), weights=list(kinds.values()))
        self.answers[kind.__name__, await kind()] += 1

    def _text(self) -> str:
        return f"Tell me about {self._chance.choice(WORDS)} and {self._chance.choice(WORDS)}."

    def _chat(self, **more: Any) -> dict[str, Any]:
        said = [{"role": "user", "content": self._text()}]
        return {"model": MODEL, "messages": said, "max_tokens": 2, **more}

    async def _post(self, path: str, **body: Any) -> httpx2.Response:
        return await self._http.post(path, json=body)

    async def chat(self) -> int:
        n = self._chance.randint(1, 3)
        return (await self._post("/v1/chat/completions", **self._chat(n=n))).status_code

    async def streamed(self) -> int:
        return (await self._post("/v1/chat/completions", **self._chat(stream=True))).status_code

    async def cancelled(self) -> int:
        """Hang up after the first bytes of a long answer."""
        body = self._chat(stream=True, max_tokens=500)
        path = "/v1/chat/completions"
        async with self._http.stream("POST", path, json=body) as answer:
            async with aclosing(answer.aiter_bytes()) as parts:
                await anext(parts)
            return answer.status_code

    async def responses(self) -> int:
        is_stored = self._chance.random() < 0.5
        body = {"model": MODEL, "input": self._text(), "max_output_tokens": 16, "store": is_stored}
        answer = await self._post("/v1/responses", **body)
        if is_stored and answer.status_code == 200:
            path = f"/v1/responses/{answer.json()['id']}"
            answer = await self._http.request(self._chance.choice(["GET", "DELETE"]), path)
        return answer.status_code

    async def messages(self) -> int:
        return (await self._post("/v1/messages", **self._chat())).status_code

    async def ollama(self) -> int:
        said = [{"role": "user", "content": self._text()}]
        is_streamed = self._chance.random() < 0.5
        body = {"model": MODEL, "messages": said, "stream": is_streamed}
        return (await self._post("/api/chat", **body, options={"num_predict": 2})).status_code

    async def completion(self) -> int:
        body = {"model": MODEL, "prompt": self._text(), "max_tokens": 2, "logprobs": 2}
        return (await self._post("/v1/completions", **body)).status_code

    async def odd(self) -> int:
        """What looks right, with something in it that nobody would write."""
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": DEEP}}
        oddities: list[dict[str, Any]] = [
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": 1}}]},
            {"stop": ["x"] * 1000},
            {"max_tokens": 10**18},
            {"seed": -(2**63)},
            {"messages": [{"role": "user", "content": "x" * 100_000}]},
            {"logit_bias": {"9999999999": 1}},
        ]
        body = self._chat(**self._chance.choice(oddities), stream=True)
        async with self._http.stream("POST", "/v1/chat/completions", json=body) as answer:
            async with aclosing(answer.aiter_bytes()) as parts:
                first = await anext(parts)
            return 500 if b"server_error" in first else answer.status_code

    async def tokenized(self) -> int:
        return (await self._post("/v1/tokenize", model=MODEL, input=self._text())).status_code

    async def conversation(self) -> int:
        begun = await self._post("/v1/conversations", metadata={"about": self._text()})
        path = f"/v1/conversations/{begun.json()['id']}"
        await self._post(f"{path}/items", items=[{"role": "user", "content": self._text()}])
        await self._http.get(f"{path}/items")
        return (await self._http.delete(path)).status_code

    async def listed(self) -> int:
        path = self._chance.choice(["/v1/models", "/metrics", "/health", "/docs", "/openapi.json"])
        return (await self._http.get(path)).status_code

    async def bad_body(self) -> int:
        path, body = self._chance.choice(ROUTES), self._chance.choice(BAD_BODIES)
        kind = self._chance.choice(["application/json", "application/json", "text/plain"])
        answer = await self._http.post(path, content=body, headers={"content-type": kind})
        return answer.status_code

    async def unknown(self) -> int:
        method, path = self._chance.choice(UNKNOWN)
        return (await self._http.request(method, path)).status_code


async def attack(url: str, process: psutil.Process, number: int) -> tuple[list[Sample], Requests]:
    """Send so many requests, several at a time, and look at the server now and then."""
    samples: list[Sample] = []
    async with (
        httpx2.AsyncClient(base_url=url, timeout=seconds(60)) as http,
        httpx2.AsyncClient(base_url=url, timeout=seconds(20)) as watching,
    ):
        requests = Requests(http, random.Random(number))
        limiter = anyio.CapacityLimiter(CLIENTS)

        async def send() -> None:
            async with limiter:
                await requests.send()

        for upto in _steps(number):
            async with anyio.create_task_group() as tasks:
                for _ in range(upto - sum(requests.answers.values())):
                    tasks.start_soon(send)
                tasks.start_soon(_look, watching, process, upto, samples)
    return samples, requests


def _steps(number: int) -> Iterator[int]:
    for step in range(1, SAMPLES + 1):
        yield number * step // SAMPLES


async def _look(
    http: httpx2.AsyncClient, process: psutil.Process, number: int, samples: list[Sample]
) -> None:
    """While the others are at it."""
    began = time.perf_counter()
    answer = await http.get("/health")
    health_ms = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200
    memory = process.memory_info().rss / 2**20
    samples.append(Sample(number, memory, process.num_fds(), health_ms))


def check(samples: list[Sample], requests: Requests) -> None:
    """
    Raises:
        AssertionError: something failed, or the server grew.
    """
    failed = {key: count for key, count in requests.answers.items() if key[1] >= 500}
    assert not failed, f"answers that blame the server: {failed}"
    if samples[-1].requests < _LEAST_FOR_GROWTH:
        return
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    for what, more in (("memory_mib", _MORE_MIB), ("open_files", _MORE_FILES)):
        before, after = (
            statistics.median(getattr(sample, what) for sample in part) for part in (early, late)
        )
        assert after <= before + more, f"{what} grew from {before:.0f} to {after:.0f}"


def run(number: int, home: Path) -> tuple[list[Sample], Requests]:
    with serving(home, CONFIG) as program:
        return anyio.run(attack, program.url, psutil.Process(program.process.pid), number)


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        samples, requests = run(number, Path(home))
    for sample in samples:
        print(sample)
    for (kind, status), count in sorted(requests.answers.items()):
        print(f"{kind:14}{status:4}{count:7,}")
    check(samples, requests)
    print(f"{number:,} requests in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
