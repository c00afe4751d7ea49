"""``best_of``: generate several completions of a prompt and keep the likeliest."""

from __future__ import annotations

from collections.abc import Sequence as Many
from contextlib import aclosing
from dataclasses import dataclass
from typing import Unpack

from kronk_agent.engine.engine import Chunk, Engine, GenerateOptions, GenerationEnd, TokenIdLogprob
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import SamplingParams


@dataclass(frozen=True, slots=True)
class Completion:
    """A complete generation."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenIdLogprob, ...]
    end: GenerationEnd

    @property
    def mean_logprob(self) -> float:
        """Mean logprob per token, by which OpenAI's ``best_of`` ranks; -inf without logprobs."""
        if not self.logprobs:
            return float("-inf")
        return sum(scored.logprob for scored in self.logprobs) / len(self.logprobs)


async def generate_best(
    engine: Engine,
    prompt: Many[int],
    *,
    n: int,
    best_of: int,
    sampling: SamplingParams,
    **options: Unpack[GenerateOptions],
) -> list[Completion]:
    """Generate ``best_of`` completions and return the ``n`` likeliest, likeliest first.

    Raises:
        InvalidRequestError: ``n`` is more than ``best_of``, or as for ``Engine.generate_many``.
        OverloadedError, DeadlineError, ConstraintError, EngineError: as for ``Engine.generate``.
    """
    if not 1 <= n <= best_of:
        raise InvalidRequestError(f"n must be from 1 to best_of ({best_of}), not {n}", param="n")
    options["streamed"] = False
    if options.get("top_logprobs") is None:
        options["top_logprobs"] = 0
    chunks: list[list[Chunk]] = [[] for _ in range(best_of)]
    stream = engine.generate_many(prompt, best_of, sampling=sampling, **options)
    async with aclosing(stream):
        async for index, chunk in stream:
            chunks[index].append(chunk)
    completions = map(_completion, chunks)
    return sorted(completions, key=lambda completion: -completion.mean_logprob)[:n]


def _completion(chunks: list[Chunk]) -> Completion:
    end = chunks[-1].end
    assert end is not None
    return Completion(
        "".join(chunk.text for chunk in chunks),
        tuple(token for chunk in chunks for token in chunk.tokens),
        tuple(scored for chunk in chunks for scored in chunk.logprobs),
        end,
    )
