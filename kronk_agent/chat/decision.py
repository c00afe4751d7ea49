"""Whether to call a tool, decided by one token before the turn: for models too small to decide
as they go, which call whatever they are asked, or never."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from kronk_agent.engine.engine import Constraint, Engine
from kronk_agent.model import SamplingParams

_GREEDY = SamplingParams(temperature=0)


async def is_call_likeliest(
    engine: Engine, prompt: Sequence[int], calls: Constraint, bias: float
) -> bool:
    """Would a call come next, if ``bias`` were added to the logit of the token it begins with?

    Args:
        engine: of the model.
        prompt: up to the turn; it stays in the engine's cache for the turn itself.
        calls: the grammar of a turn that is nothing but calls.
        bias: natural logarithm of odds; above 0 for more calls.
    """
    chunks = engine.generate(
        prompt,
        sampling=_GREEDY,
        max_tokens=1,
        constraint=calls,
        top_logprobs=2,
        streamed=False,
    )
    async with aclosing(chunks):
        async for chunk in chunks:
            for begun in chunk.logprobs:
                others = [logprob for token, logprob in begun.top if token != begun.token]
                return begun.logprob + bias > max(others)
    raise AssertionError("a grammar of calls gives a token")
