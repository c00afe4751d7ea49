"""Who is measured: our engine in this process, and llama-server over loopback HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import httpx2
from benchmarks.baseline import llama_server

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.messages import JsonObject
from kronk_agent.settings import SamplingParams

CREATIVE = SamplingParams(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, seed=1)
GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One generation, the same for every peer."""

    prompt: list[int]
    max_tokens: int
    sampling: SamplingParams = CREATIVE
    schema: JsonObject | None = None
    """JSON that the answer has to be; the answer then ends with it, and otherwise only after
    ``max_tokens``, since end-of-generation tokens are banned."""
    top_logprobs: int | None = None
    is_streamed: bool = False
    """Does somebody read along? Only our engine is told; llama-server writes whole answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    tokens: list[int]
    text: str
    seconds: float
    """From asking to the last token."""
    num_cached: int
    """Tokens of the prompt that were not computed."""
    num_steps: int
    """Decode steps it took part in after the prompt was read."""


class Peer(Protocol):
    """Answers any number of asks at once."""

    async def ask(self, ask: Ask) -> Answer: ...


class Ours:
    """Our engine, called as the chat model calls it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ends = dict.fromkeys(engine.vocabulary.end_of_generation, float("-inf"))

    def tokenize(self, text: str) -> list[int]:
        return self.engine.vocabulary.tokenize(text, parse_special=True)

    async def arrivals(self, ask: Ask) -> AsyncGenerator[float, None]:
        """``time.perf_counter()`` at every piece of an answer that goes on for long."""
        sampling = replace(ask.sampling, logit_bias=self._ends)
        stream = self.engine.generate(ask.prompt, sampling=sampling, max_tokens=ask.max_tokens)
        async with aclosing(stream):
            async for _ in stream:
                yield time.perf_counter()

    async def ask(self, ask: Ask) -> Answer:
        started = time.perf_counter()
        sampling, constraint = ask.sampling, None
        if ask.schema is None:
            sampling = replace(sampling, logit_bias=self._ends)
        else:
            constraint = await self.engine.compile(f"start: %json {_compact(ask.schema)}")
        stream = self.engine.generate(
            ask.prompt,
            sampling=sampling,
            max_tokens=ask.max_tokens,
            constraint=constraint,
            top_logprobs=ask.top_logprobs,
            streamed=ask.is_streamed,
        )
        async with aclosing(stream):
            chunks = [chunk async for chunk in stream]
        return Answer(
            tokens=[token for chunk in chunks for token in chunk.tokens],
            text="".join(chunk.text for chunk in chunks),
            seconds=time.perf_counter() - started,
            num_cached=chunks[-1].num_cached,
            num_steps=len(chunks),
        )


@asynccontextmanager
async def ours(model: Path, params: EngineParams) -> AsyncIterator[Ours]:
    engine = await Engine.open(model, params)
    async with engine:
        yield Ours(engine)


class Server:
    """A llama-server, or what has its ``/completion``. Not streamed: reading its events would take
    the processor from it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def ask(self, ask: Ask) -> Answer:
        started = time.perf_counter()
        response = await self._client.post("/completion", json=_completion_request(ask))
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return Answer(
            tokens=answer["tokens"],
            text=answer["content"],
            seconds=time.perf_counter() - started,
            num_cached=answer["timings"]["cache_n"],
            num_steps=answer["tokens_predicted"],
        )


@asynccontextmanager
async def server(model: Path, *options: str, log: Path | None = None) -> AsyncIterator[Server]:
    with llama_server(model, *options, log=log) as running:
        async with server_client(running.url) as peer:
            yield peer


@asynccontextmanager
async def server_client(url: str) -> AsyncIterator[Server]:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx2.AsyncClient(
        base_url=url, timeout=None, limits=limits, trust_env=False
    ) as client:
        yield Server(client)


def server_options(
    *, streams: int, context_length: int, threads: int, is_unified: bool
) -> tuple[str, ...]:
    """llama-server as one would start it for so many streams: its caches on, the same threads and
    the same number of cells as ours."""
    return (
        *("-np", str(streams), "-c", str(context_length)),
        *("-t", str(threads), "-tb", str(threads)),
        "--kv-unified" if is_unified else "--no-kv-unified",
        "--swa-full",
        "--no-slots",
    )


def _completion_request(ask: Ask) -> dict[str, Any]:
    sampling = ask.sampling
    request: dict[str, Any] = {
        "prompt": ask.prompt,
        "n_predict": ask.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": sampling.seed if sampling.seed is not None else -1,
        "samplers": ["top_k", "top_p", "min_p", "temperature"],
        "cache_prompt": True,
        "return_tokens": True,
    }
    if ask.schema is None:
        request["ignore_eos"] = True
    else:
        request["json_schema"] = ask.schema
    return request


def _compact(schema: JsonObject) -> str:
    """The schema with blanks fixed, as our chat models have it: the more of a call is forced."""
    blanks: JsonObject = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
    }
    return json.dumps(schema | {"x-guidance": blanks})
