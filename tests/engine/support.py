"""Helpers of the engine's tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Unpack

from kronk_agent.engine.engine import Engine, GenerateOptions, GenerationEnd
from kronk_agent.settings import SamplingParams

GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True)
class Generated:
    """A generation, collected."""

    text: str
    tokens: tuple[int, ...]
    end: GenerationEnd


def chat(question: str) -> str:
    """A prompt in the starter model's own format."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def tokens_of(engine: Engine, prompt: str) -> list[int]:
    return engine.vocabulary.tokenize(prompt, parse_special=True)


async def generate(
    engine: Engine,
    prompt: str,
    *,
    sampling: SamplingParams = GREEDY,
    on_token: Callable[[], None] = lambda: None,
    **options: Unpack[GenerateOptions],
) -> Generated:
    ids = tokens_of(engine, prompt)
    chunks = []
    options.setdefault("max_tokens", 40)
    stream = engine.generate(ids, sampling=sampling, **options)
    async with aclosing(stream):
        async for chunk in stream:
            chunks.append(chunk)
            on_token()
    end = chunks[-1].end
    assert end is not None
    return Generated(
        "".join(chunk.text for chunk in chunks),
        tuple(token for chunk in chunks for token in chunk.tokens),
        end,
    )


def endless(engine: Engine, **sampling: float) -> SamplingParams:
    """Greedy sampling that never ends by itself."""
    banned = dict.fromkeys(engine.vocabulary.end_of_generation, float("-inf"))
    return SamplingParams(temperature=0, logit_bias=banned, **sampling)  # type: ignore[arg-type]
