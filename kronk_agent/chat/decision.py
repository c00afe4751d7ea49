"""Deciding by one token, before the turn, whether to call a tool.

For models too small to decide as they write, which call whatever they are asked, or never.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Unpack

from kronk_agent.engine.engine import CacheOptions, Constraint, Engine
from kronk_agent.model import SamplingParams

_GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True, slots=True)
class CallDecision:
    """The outcome, and what the generation that found it took."""

    is_call: bool
    cached_tokens: int
    """Prompt tokens that were already in the KV memory."""
    queue_seconds: float
    seconds: float
    """From submission to the decision, the queue included."""


async def decide_call(
    engine: Engine,
    prompt: Sequence[int],
    calls: Constraint,
    bias: float,
    **cache: Unpack[CacheOptions],
) -> CallDecision:
    """Decide whether a call comes next if ``bias`` is added to the logit of its first token.

    Args:
        engine: of the model.
        prompt: up to the turn; it stays in the engine's cache for the turn itself.
        calls: the grammar of a turn that is nothing but calls.
        bias: natural logarithm of odds; above 0 for more calls.
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
    raise AssertionError("a grammar of calls gives a token")
