"""``kv_unified: false``: every sequence has a KV cache of its own."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from engine.support import Generated, chat, generate, tokens_of

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import ContextLengthError

LONG = "You know everything about the world and answer with one word. " * 12
SEPARATE = EngineParams(context_length=4 * 512, max_sequences=4, kv_unified=False)
COUNTRIES = ["France", "Spain", "Italy", "Norway"]
TOPICS = ["tides", "bread", "clocks", "glass", "maps", "ropes"]


def all_about(topic: str) -> str:
    return f"All there is to know of {topic}: {topic} " * 20


def about(country: str) -> str:
    return LONG + chat(f"What is the capital of {country}?")


async def together(
    engine: Engine, prompts: list[str], *, lengths: list[int] | None = None
) -> list[Generated]:
    found: dict[int, Generated] = {}

    async def one(index: int) -> None:
        most = lengths[index] if lengths else 8
        found[index] = await generate(engine, prompts[index], max_tokens=most)

    async with anyio.create_task_group() as group:
        for index in range(len(prompts)):
            group.start_soon(one, index)
    return [found[index] for index in range(len(prompts))]


async def test_each_generation_has_an_equal_part_of_the_context(starter_model: Path) -> None:
    async with await Engine.open(starter_model, SEPARATE) as engine:
        assert engine.context_length == 512
        with pytest.raises(ContextLengthError) as refused:
            await generate(engine, LONG * 5)
        stats = await engine.stats()

    assert refused.value.context_length == 512
    assert stats.kv_cells_total == 4 * 512


async def test_a_prefix_is_computed_once_and_copied(
    starter_model: Path,
) -> None:
    async with await Engine.open(starter_model, SEPARATE) as engine:
        common = len(tokens_of(engine, LONG + "<|im_start|>user\nWhat is the capital of"))
        answers = await together(engine, [about(country) for country in COUNTRIES])
        again = await generate(engine, about("Spain"), max_tokens=8)
        stats = await engine.stats()
        await engine.check()
    async with await Engine.open(starter_model, EngineParams(max_sequences=4)) as engine:
        alone = [await generate(engine, about(country), max_tokens=8) for country in COUNTRIES]

    assert sorted(answer.end.usage.cached_tokens for answer in answers) == [0, *[common] * 3]
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1
    assert [answer.text for answer in answers] == [answer.text for answer in alone]
    assert stats.kv_cells_used == sum(
        answer.end.usage.prompt_tokens + len(answer.tokens) for answer in answers
    )


async def test_a_few_tokens_are_computed_again_rather_than_moved_with_a_long_conversation(
    starter_model: Path,
) -> None:
    """llama.cpp reads only the whole of one, and streams would wait for it."""
    async with await Engine.open(starter_model, SEPARATE) as engine:
        beginning = all_about("tides")[:12]
        await generate(engine, all_about("tides"), max_tokens=4)
        of_few = await generate(engine, beginning + "s and moons", max_tokens=1)
        of_many = await generate(engine, all_about("tides") + " and moons", max_tokens=1)
        await engine.check()
        few = len(tokens_of(engine, beginning))

    assert 0 < few < 8
    assert of_few.end.usage.cached_tokens == 0
    assert of_many.end.usage.cached_tokens > 64


async def test_generations_are_moved_together_when_one_between_them_ends(
    starter_model: Path,
) -> None:
    """The books are checked while there are gaps, and the moved ones go on as they would have."""
    prompts = [about(country) for country in COUNTRIES]
    lengths = [24, 2, 2, 24]
    async with await Engine.open(starter_model, SEPARATE) as engine:
        moved = await together(engine, prompts, lengths=lengths)
        await engine.check()
        later = await together(engine, [prompts[2], prompts[0]], lengths=[4, 4])
        await engine.check()
    async with await Engine.open(starter_model, SEPARATE) as engine:
        alone = [
            await generate(engine, prompt, max_tokens=most)
            for prompt, most in zip(prompts, lengths, strict=True)
        ]

    assert [answer.tokens for answer in moved] == [answer.tokens for answer in alone]
    assert later[0].tokens[:2] == alone[2].tokens
    assert later[1].tokens == alone[0].tokens[:4]


async def test_a_conversation_that_makes_room_beside_those_at_work_loses_nothing(
    starter_model: Path,
) -> None:
    """Two new ones come where the oldest two, which have to go, rest apart."""
    prompts = [all_about(topic) for topic in TOPICS]
    async with await Engine.open(starter_model, SEPARATE) as engine:
        for prompt in [*prompts[:4], prompts[1], prompts[2]]:
            await generate(engine, prompt, max_tokens=4)
        await together(engine, prompts[4:], lengths=[12, 12])
        await engine.check()
        again = [await generate(engine, prompt, max_tokens=1) for prompt in prompts]
        await engine.check()
    async with await Engine.open(starter_model, SEPARATE) as engine:
        alone = [await generate(engine, prompt, max_tokens=1) for prompt in prompts]

    assert [answer.text for answer in again] == [answer.text for answer in alone]
    for answer in again:
        assert answer.end.usage.cached_tokens == answer.end.usage.prompt_tokens - 1


async def test_an_evicted_conversation_is_restored_from_host_memory(
    starter_model: Path,
) -> None:
    params = EngineParams(context_length=2 * 512, max_sequences=2, kv_unified=False)
    async with await Engine.open(starter_model, params) as engine:
        first = await generate(engine, about("France"), max_tokens=4)
        for topic in TOPICS[:2]:
            await generate(engine, all_about(topic), max_tokens=1)
        again = await generate(engine, about("France"), max_tokens=4)
        stats = await engine.stats()
        await engine.check()

    assert again.tokens == first.tokens
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1
    assert stats.cache.restores == 1
