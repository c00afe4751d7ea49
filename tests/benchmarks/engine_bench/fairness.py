"""5: what others feel of a long prompt: how soon short ones begin, how evenly streams run on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup, percentile
from benchmarks.engine_bench.peers import Ask, Ours, ours
from benchmarks.engine_bench.prose import text_of
from benchmarks.engine_bench.streams import question

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_SEQUENCES = 4
_CELLS_EACH = 8192
_LONG_TOKENS = 6000
_SHORT_TOKENS = 100
_ALONE = 20
_PAUSES = (0.05, 0.21, 0.13, 0.34, 0.0, 0.27)
"""Seconds between one short prompt and the next: they arrive at no step's beginning."""


async def short_behind_long(setup: Setup) -> Measured:
    """In memories of their own: in one for all, every row passes over the long prompt's cells."""
    params = EngineParams(
        context_length=_SEQUENCES * _CELLS_EACH,
        max_sequences=_SEQUENCES,
        threads=setup.threads,
        kv_unified=False,
    )
    long_tokens = _LONG_TOKENS // 3 if setup.is_quick else _LONG_TOKENS
    async with ours(setup.model, params) as us:
        seeds = itertools.count(1)
        alone = [await _ttft(us, next(seeds)) for _ in range(_ALONE)]
        beside_prompt = await _while_reading(us, long_tokens, seeds, stream=False)
        beside_both = await _while_reading(us, long_tokens, seeds, stream=True)
    p95_alone = percentile(alone, 0.95)
    p95_behind = percentile(beside_both.ttfts, 0.95)
    figures = (
        Figure(
            key="short_behind_long_p95",
            title=f"p95 TTFT of short prompts beside one of {long_tokens}, to that alone (ms)",
            value=p95_behind / p95_alone,
            ours=f"{1000 * p95_behind:.0f}",
            theirs=f"{1000 * p95_alone:.0f} alone",
            bar=Bar("≤", 2.0),
        ),
        Figure(
            key="longest_gap_seconds",
            title="longest gap in a stream meanwhile (s)",
            value=max(beside_both.gaps),
            bar=Bar("≤", 0.25),
        ),
    )
    raw: JsonObject = {
        "alone": [*alone],
        "beside_prompt": [*beside_prompt.ttfts],
        "beside_prompt_and_stream": [*beside_both.ttfts],
        "gaps": [*beside_both.gaps],
        "long_prompt_seconds": [beside_prompt.seconds, beside_both.seconds],
    }
    return Measured(figures, raw)


@dataclass(slots=True)
class _Meanwhile:
    """What others saw while a long prompt was being read."""

    seconds: float = 0.0
    ttfts: list[float] = field(default_factory=list)
    """Of short prompts, one after the other."""
    gaps: list[float] = field(default_factory=list)
    """Between two pieces of a running stream."""


async def _while_reading(
    us: Ours, num_tokens: int, seeds: Iterator[int], *, stream: bool
) -> _Meanwhile:
    seen = _Meanwhile()
    async with anyio.create_task_group() as group:
        if stream:
            started = anyio.Event()
            group.start_soon(_watch, us, next(seeds), seen, started)
            await started.wait()
        seen.gaps.clear()
        group.start_soon(_short_prompts, us, seeds, seen)
        asked_at = time.perf_counter()
        prompt = text_of(num_tokens, next(seeds), us.tokenize)
        await us.ask(Ask(prompt=prompt, max_tokens=1, is_streamed=True))
        seen.seconds = time.perf_counter() - asked_at
        group.cancel_scope.cancel()
    return seen


async def _watch(us: Ours, seed: int, seen: _Meanwhile, started: anyio.Event) -> None:
    """Run a stream until cancelled."""
    prompt = question(seed, us.tokenize)
    last: float | None = None
    async with aclosing(us.arrivals(Ask(prompt=prompt, max_tokens=4096))) as arrivals:
        async for now in arrivals:
            if last is not None:
                seen.gaps.append(now - last)
            last = now
            started.set()


async def _short_prompts(us: Ours, seeds: Iterator[int], seen: _Meanwhile) -> None:
    for pause in itertools.cycle(_PAUSES):
        await anyio.sleep(pause)
        seen.ttfts.append(await _ttft(us, next(seeds)))


async def _ttft(us: Ours, seed: int) -> float:
    prompt = question(seed, us.tokenize, _SHORT_TOKENS)
    return (await us.ask(Ask(prompt=prompt, max_tokens=1, is_streamed=True))).seconds
