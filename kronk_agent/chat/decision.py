"""Decide from the probability of one token whether a turn calls a tool.

For models too small to decide while they write: these call a tool always or never.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Unpack

from kronk_agent.engine.engine import CacheOptions, Constraint, Engine
from kronk_agent.settings import SamplingParams

_GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True, slots=True)
class CallDecision:
    """A decision and the cost of the generation that made it."""

    is_call: bool
    """True if the turn calls a tool."""
    cached_tokens: int
    """Prompt tokens that were already in the KV cache."""
    queue_seconds: float
    """Time in the engine's queue."""
    seconds: float
    """Time from submission to the decision, including the queue."""


async def decide_call(
    engine: Engine,
    prompt: Sequence[int],
    calls: Constraint,
    bias: float,
    **cache: Unpack[CacheOptions],
) -> CallDecision:
    """Decide whether the turn calls a tool, adding ``bias`` to the logit of a call's first token.

    Args:
        engine: the model's engine.
        prompt: tokens up to the turn; they stay in the engine's cache for the turn itself.
        calls: the grammar of a turn that consists of calls only.
        bias: natural logarithm of an odds ratio; above 0 for more calls.
        cache: the cache options of the turn.
    """
    started_at = time.perf_counter()
    chunks = engine.generate(
        prompt,
        sampling=_GREEDY,
        max_tokens=1,
        constraint=calls,
        top_logprobs=2,
        streamed=False,
        **cache,
    )
    async with aclosing(chunks):
        async for chunk in chunks:
            for begun in chunk.logprobs:
                others = [logprob for token, logprob in begun.top if token != begun.token]
                return CallDecision(
                    begun.logprob + bias > max(others),
                    chunk.num_cached,
                    chunk.queue_seconds,
                    time.perf_counter() - started_at,
                )
    raise AssertionError("a grammar of calls yields a token")
