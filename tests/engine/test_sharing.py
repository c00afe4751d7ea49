"""Reuse of computed prefixes: in the KV cache, in host memory, in files."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from engine.support import GREEDY, Generated, chat, endless, generate, tokens_of

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import InvalidRequestError

on_the_engines_loop = pytest.mark.asyncio(loop_scope="module")

LONG = "You know everything about the world and answer with one word. " * 12
SMALL = EngineParams(context_length=512, max_sequences=2)


def about(country: str) -> str:
    return LONG + chat(f"What is the capital of {country}?")


async def fill(engine: Engine) -> None:
    """Run another request that needs all of a small context."""
    filler = tokens_of(engine, "any other words " * 150)[: engine.context_length - 4]
    async with aclosing(engine.generate(filler, sampling=GREEDY, max_tokens=2)) as stream:
        async for _ in stream:
            pass


@on_the_engines_loop
async def test_a_prompt_shares_a_cached_one_up_to_where_it_diverges(
    engine: Engine,
) -> None:
    await generate(engine, about("France"), max_tokens=1)
    answer = await generate(engine, about("Spain"), max_tokens=1)
    again = await generate(engine, about("Spain"), max_tokens=1)

    common = len(tokens_of(engine, LONG + "<|im_start|>user\nWhat is the capital of"))
    assert answer.end.usage.cached_tokens == common
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1
    await engine.check()


@on_the_engines_loop
async def test_prompts_of_different_salts_share_nothing(engine: Engine) -> None:
    prompt = about("Norway")
    first = await generate(engine, prompt, max_tokens=1, cache_salt="a")
    same = await generate(engine, prompt, max_tokens=1, cache_salt="a")
    others = [await generate(engine, prompt, max_tokens=1, cache_salt=salt) for salt in ("b", "c")]
    await engine.check()

    assert first.end.usage.cached_tokens == 0
    assert same.end.usage.cached_tokens == same.end.usage.prompt_tokens - 1
    assert [other.tokens for other in others] == [first.tokens] * 2
    assert [other.end.usage.cached_tokens for other in others] == [0, 0]


@on_the_engines_loop
async def test_all_salts_share_a_shared_prefix(engine: Engine) -> None:
    instructions = "You speak of the sea and of nothing else. " * 12
    length = len(tokens_of(engine, instructions))
    answers = [
        await generate(
            engine,
            instructions + chat(f"What is {salt} to you?"),
            max_tokens=1,
            cache_salt=salt,
            shared_prefix=length,
        )
        for salt in ("rain", "rainfall", "rain")
    ]
    await engine.check()

    found = [answer.end.usage.cached_tokens for answer in answers]
    assert found[1:] == [length, answers[2].end.usage.prompt_tokens - 1]


@pytest.mark.parametrize("kv_unified", [True, False])
async def test_salted_prompts_are_restored_only_for_their_salt(
    starter_model: Path, kv_unified: bool
) -> None:
    params = replace(SMALL, kv_unified=kv_unified)
    async with await Engine.open(starter_model, params) as engine:
        await generate(engine, about("France"), cache_salt="a")
        for _ in range(2):  # in case the KV cache is not unified: one for each id
            await fill(engine)
        other = await generate(engine, about("France"), cache_salt="b")
        same = await generate(engine, about("France"), cache_salt="a")
        await engine.check()

    assert other.end.usage.cached_tokens == 0
    assert same.end.usage.cached_tokens == same.end.usage.prompt_tokens - 1


async def test_prompts_that_arrive_together_wait_only_for_those_of_their_salt(
    starter_model: Path,
) -> None:
    found: dict[str, list[int]] = {"a": [], "b": []}

    async with await Engine.open(starter_model, replace(SMALL, context_length=1024)) as engine:

        async def ask(salt: str) -> None:
            answer = await generate(engine, about("France"), max_tokens=1, cache_salt=salt)
            found[salt].append(answer.end.usage.cached_tokens)

        async with anyio.create_task_group() as tasks:
            for salt in ("a", "a", "b", "b"):
                tasks.start_soon(ask, salt)

    assert [sorted(counts)[0] for counts in found.values()] == [0, 0]
    assert all(sorted(counts)[1] > 0 for counts in found.values())


async def test_an_evicted_state_is_restored_from_host_memory(starter_model: Path) -> None:
    async with await Engine.open(starter_model, SMALL) as engine:
        first = await generate(engine, about("France"))
        await fill(engine)
        again = await generate(engine, about("France"))
        stats = await engine.stats()
        await engine.check()

    assert again.tokens == first.tokens
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1
    assert (stats.cache.evictions > 0, stats.cache.restores) == (True, 1)


async def test_without_host_memory_an_evicted_state_is_computed_again(starter_model: Path) -> None:
    params = EngineParams(context_length=512, max_sequences=2, cache_ram_mib=0)
    async with await Engine.open(starter_model, params) as engine:
        await generate(engine, about("France"))
        await fill(engine)
        again = await generate(engine, about("France"))
        stats = await engine.stats()

    assert again.end.usage.cached_tokens == 0
    assert (stats.cache.offloads, stats.cache.restores) == (0, 0)


async def test_a_pinned_prefix_stays_while_others_come_and_go(starter_model: Path) -> None:
    params = EngineParams(context_length=512, max_sequences=2, cache_ram_mib=0)
    async with await Engine.open(starter_model, params) as engine:
        pinned = tokens_of(engine, LONG)
        pin = await engine.pin(pinned)
        for number in range(4):
            await generate(engine, f"{number} " + "any other words " * 60, max_tokens=2)
        kept = await generate(engine, about("France"), max_tokens=1)
        pin.release()
        pin.release()
        await fill(engine)
        gone = await generate(engine, about("France"), max_tokens=1)
        await engine.check()

    assert kept.end.usage.cached_tokens == len(pinned)
    assert gone.end.usage.cached_tokens == 0


async def test_pins_are_evicted_if_a_single_sequence_needs_all_cells(
    starter_model: Path,
) -> None:
    async with await Engine.open(starter_model, SMALL) as engine:
        await engine.pin(tokens_of(engine, LONG))
        await fill(engine)
        await engine.check()


async def test_a_prefix_is_shared_where_pins_have_all_ids(starter_model: Path) -> None:
    params = EngineParams(context_length=1024, max_sequences=1, threads=1)
    async with await Engine.open(starter_model, params) as engine:
        prefixes = [tokens_of(engine, f"{n} " + LONG[:400]) for n in range(4)]
        pins = [await engine.pin(prefix) for prefix in prefixes]
        prompt = f"0 {LONG[:400]}" + chat("What is the capital of France?")
        shared = await generate(engine, prompt)
        await engine.check()
        for pin in pins:
            pin.release()
    async with await Engine.open(starter_model, params) as engine:
        alone = await generate(engine, prompt)

    assert shared.text == alone.text


async def test_a_cancelled_pin_holds_no_cells(starter_model: Path) -> None:
    async with await Engine.open(starter_model, SMALL) as engine:
        for _ in range(10):
            with anyio.move_on_after(0.02):
                (await engine.pin(tokens_of(engine, LONG))).release()  # it may be that fast
        await fill(engine)
        pin = await engine.pin([1] * (engine.context_length // 2))
        await engine.check()
        pin.release()


@on_the_engines_loop
async def test_no_more_than_half_of_the_context_can_be_pinned(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="half of the context") as info:
        await engine.pin([1] * (engine.context_length // 2 + 1))

    assert info.value.param == "tokens"


async def test_a_preempted_sequence_continues_with_the_same_tokens(starter_model: Path) -> None:
    # Counting, which the model is sure of: batches of other sizes change logits in the last bits.
    prompts = [" ".join(str(n) for n in range(first, first + 25)) for first in (1, 40, 70)]
    results: dict[str, Generated] = {}

    async def one(engine: Engine, prompt: str) -> None:
        results[prompt] = await generate(engine, prompt, sampling=endless(engine), max_tokens=90)

    async with await Engine.open(starter_model) as engine:
        alone = {
            p: (await generate(engine, p, sampling=endless(engine), max_tokens=90)).tokens
            for p in prompts
        }
    params = EngineParams(context_length=256, max_sequences=3, speculation=False)
    async with await Engine.open(starter_model, params) as engine:
        async with anyio.create_task_group() as group:
            for prompt in prompts:
                group.start_soon(one, engine, prompt)
        stats = await engine.stats()
        await engine.check()

    assert {prompt: result.tokens for prompt, result in results.items()} == alone
    assert stats.steps.preemptions > 0


async def test_few_cells_stay_idle_with_host_memory(starter_model: Path) -> None:
    params = EngineParams(context_length=4096, max_sequences=2)
    async with await Engine.open(starter_model, params) as engine:
        prompts = [f"{number} " + "any other words " * 250 for number in range(4)]
        first = [await generate(engine, prompt, max_tokens=2) for prompt in prompts]
        stats = await engine.stats()
        again = await generate(engine, prompts[0], max_tokens=2)
        await engine.check()

    assert stats.kv_cells_used < 2048 + first[-1].end.usage.prompt_tokens
    assert stats.cache.offloads == 2
    assert again.tokens == first[0].tokens
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1
