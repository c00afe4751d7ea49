"""Models that can share only full states: recurrent, hybrid, or with a pruned sliding window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from engine.support import endless, tokens_of
from engine.tiny_gguf import TinyModels
from limits import seconds

from kronk_agent.engine.engine import Engine, EngineParams, GenerationEnd

SHARED = "the cat is one of two and the dog is not " * 12
PARAMS = EngineParams(context_length=1024, max_sequences=4, threads=1, swa_full=False)


@pytest.fixture(params=["mamba", "jamba", "gemma"])
def model(tiny: TinyModels, request: pytest.FixtureRequest) -> Path:
    path: Path = getattr(tiny, request.param)
    return path


async def run(
    engine: Engine, prompt: Sequence[int], *, max_tokens: int = 12
) -> tuple[tuple[int, ...], GenerationEnd]:
    async with aclosing(
        engine.generate(prompt, sampling=endless(engine), max_tokens=max_tokens)
    ) as stream:
        chunks = [chunk async for chunk in stream]
    end = chunks[-1].end
    assert end is not None
    return tuple(token for chunk in chunks for token in chunk.tokens), end


async def alone(model: Path, prompt: Sequence[int]) -> tuple[int, ...]:
    async with await Engine.open(model, PARAMS) as engine:
        return (await run(engine, prompt))[0]


async def test_a_continued_conversation_computes_only_new_tokens(model: Path) -> None:
    async with await Engine.open(model, PARAMS) as engine:
        prompt = tokens_of(engine, SHARED)
        first, _ = await run(engine, prompt)
        longer = [*prompt, *first, *tokens_of(engine, "and so on")]
        second, end = await run(engine, longer)
        await engine.check()

    # Except the last token, which was sampled but never computed.
    assert end.usage.cached_tokens == len(prompt) + len(first) - 1
    assert second == await alone(model, longer)


async def test_a_turn_that_is_said_again_starts_where_its_prompt_ended(model: Path) -> None:
    async with await Engine.open(model, PARAMS) as engine:
        prompt = tokens_of(engine, SHARED)
        first, _ = await run(engine, prompt)
        again, end = await run(engine, prompt)

    assert end.usage.cached_tokens == len(prompt) - 1
    assert again == first


async def test_prompts_that_part_share_a_state_from_the_third_on(model: Path) -> None:
    async with await Engine.open(model, PARAMS) as engine:
        prompts = [tokens_of(engine, SHARED + end) for end in ("cat", "dog", "two")]
        results = [await run(engine, prompt) for prompt in prompts]
        await engine.check()

    cached = [end.usage.cached_tokens for _, end in results]
    assert cached[:2] == [0, 0]
    assert len(prompts[2]) - 8 < cached[2] < len(prompts[2])
    assert [tokens for tokens, _ in results] == [await alone(model, p) for p in prompts]


async def test_prompts_that_arrive_together_compute_a_common_prefix_once(model: Path) -> None:
    async with await Engine.open(model, PARAMS) as engine:
        prompts = [tokens_of(engine, SHARED + end) for end in ("cat", "dog", "two", "one")]
        results: dict[int, tuple[tuple[int, ...], GenerationEnd]] = {}

        async def one(index: int) -> None:
            results[index] = await run(engine, prompts[index])

        with anyio.fail_after(seconds(60)):
            async with anyio.create_task_group() as group:
                for index in range(len(prompts)):
                    group.start_soon(one, index)
        stats = await engine.stats()
        await engine.check()

    assert stats.steps.prefill_tokens < 1.3 * len(prompts[0])
    assert [results[i][0] for i in range(4)] == [await alone(model, p) for p in prompts]


async def test_a_preempted_sequence_continues_from_its_saved_state(tiny: TinyModels) -> None:
    params = EngineParams(context_length=256, max_sequences=3, threads=1)
    async with await Engine.open(tiny.jamba, params) as engine:
        prompts = [tokens_of(engine, SHARED[index : 160 + index]) for index in range(3)]
        results: dict[int, tuple[int, ...]] = {}

        async def one(index: int) -> None:
            results[index], _ = await run(engine, prompts[index], max_tokens=100)

        with anyio.fail_after(seconds(60)):
            async with anyio.create_task_group() as group:
                for index in range(3):
                    group.start_soon(one, index)
        stats = await engine.stats()
        await engine.check()

    assert stats.steps.preemptions > 0
    assert {len(tokens) for tokens in results.values()} == {100}
