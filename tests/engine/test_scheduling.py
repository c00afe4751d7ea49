"""Many generations at once: batching, cancelling, queueing, sharing, preemption."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from engine.support import GREEDY, Generated, chat, endless, generate
from limits import seconds

from kronk_agent.engine.engine import Chunk, Engine, EngineParams
from kronk_agent.errors import ConfigError, EngineError, OverloadedError

COUNTRIES = ["France", "Spain", "Italy", "Peru", "Japan", "Kenya"]


def capital_of(country: str) -> str:
    return chat(f"What is the capital of {country}?")


def long_run(engine: Engine) -> AsyncGenerator[Chunk, None]:
    prompt = engine.vocabulary.tokenize(chat("Count."), parse_special=True)
    return engine.generate(prompt, sampling=endless(engine))


async def all_at_once(
    engine: Engine, prompts: list[str], *, max_tokens: int = 40, ends: bool = True
) -> dict[str, Generated]:
    results: dict[str, Generated] = {}
    sampling = GREEDY if ends else endless(engine)

    async def one(prompt: str) -> None:
        results[prompt] = await generate(engine, prompt, max_tokens=max_tokens, sampling=sampling)

    with anyio.fail_after(seconds(60)):
        async with anyio.create_task_group() as group:
            for prompt in prompts:
                group.start_soon(one, prompt)
    return results


async def test_generations_run_side_by_side_and_answer_as_they_do_alone(
    starter_model: Path,
) -> None:
    prompts = [capital_of(country) for country in COUNTRIES]
    async with await Engine.open(starter_model) as engine:
        alone = {prompt: (await generate(engine, prompt)).text for prompt in prompts}
    async with await Engine.open(starter_model) as engine:
        together = await all_at_once(engine, prompts)

    assert {prompt: answer.text for prompt, answer in together.items()} == alone


async def test_a_short_request_overtakes_a_long_one(starter_model: Path) -> None:
    async with (
        await Engine.open(starter_model) as engine,
        aclosing(long_run(engine)) as running,
    ):
        await anext(running)

        answer = await generate(engine, capital_of("France"))

        assert answer.text == "The capital of France is Paris."
        assert (await anext(running)).end is None


async def test_a_cancelled_generation_frees_its_place(starter_model: Path) -> None:
    async with await Engine.open(starter_model, EngineParams(max_sequences=1)) as engine:
        async with aclosing(long_run(engine)) as running:
            await anext(running)

        with anyio.fail_after(seconds(10)):
            answer = await generate(engine, capital_of("France"))

        assert answer.text == "The capital of France is Paris."


async def test_a_generation_cancelled_in_the_queue_never_runs(starter_model: Path) -> None:
    async with (
        await Engine.open(starter_model, EngineParams(max_sequences=1, queue_limit=1)) as engine,
        aclosing(long_run(engine)) as running,
    ):
        await anext(running)
        for _ in range(5):
            with anyio.move_on_after(0.05):
                await generate(engine, capital_of("France"))

        await running.aclose()
        answer = await generate(engine, capital_of("Spain"))

        assert answer.text == "The capital of Spain is Madrid."


async def test_past_the_queue_limit_a_request_is_refused_at_once(starter_model: Path) -> None:
    async with (
        await Engine.open(starter_model, EngineParams(max_sequences=1, queue_limit=2)) as engine,
        aclosing(long_run(engine)) as running,
        anyio.create_task_group() as group,
    ):
        await anext(running)
        for country in COUNTRIES[:2]:
            group.start_soon(generate, engine, capital_of(country))
        await anyio.wait_all_tasks_blocked()

        with pytest.raises(OverloadedError, match=r"engine\.queue_limit") as info:
            await generate(engine, capital_of("Peru"))

        assert info.value.retry_after_seconds > 0
        group.cancel_scope.cancel()


async def test_closing_the_engine_ends_running_and_waiting_sequences(starter_model: Path) -> None:
    engine = await Engine.open(starter_model, EngineParams(max_sequences=1))
    errors: list[str] = []

    async def run_until_closed() -> None:
        try:
            async for _ in long_run(engine):
                started.set()
        except EngineError as error:
            errors.append(str(error))

    started = anyio.Event()
    with anyio.fail_after(seconds(20)):
        async with anyio.create_task_group() as group:
            group.start_soon(run_until_closed)
            group.start_soon(run_until_closed)
            await started.wait()
            await engine.close()

    assert errors == ["the engine was closed"] * 2


async def test_a_continued_conversation_computes_only_new_tokens(starter_model: Path) -> None:
    async with await Engine.open(starter_model) as engine:
        prompt = capital_of("France")
        first = await generate(engine, prompt)
        second = await generate(engine, f"{prompt}{first.text}<|im_end|>\n{capital_of('Spain')}")

    assert first.end.usage.cached_tokens == 0
    known = first.end.usage.prompt_tokens + first.end.usage.completion_tokens
    assert second.end.usage.cached_tokens == known


async def test_requests_that_arrive_together_compute_a_shared_prefix_once(
    starter_model: Path,
) -> None:
    shared = "You know everything about the world. " * 20
    async with await Engine.open(starter_model) as engine:
        results = await all_at_once(engine, [shared + capital_of(c) for c in COUNTRIES])
        [prefix] = {len(engine.vocabulary.tokenize(shared, parse_special=True))}

    cached = sorted(result.end.usage.cached_tokens for result in results.values())
    assert cached[0] == 0
    assert min(cached[1:]) >= prefix - 1


async def test_a_prefix_is_shared_with_a_sequence_that_still_runs(starter_model: Path) -> None:
    async with (
        await Engine.open(starter_model) as engine,
        aclosing(long_run(engine)) as running,
    ):
        await anext(running)
        again = await generate(engine, chat("Count."), max_tokens=2)

    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1


async def test_finished_sequences_make_room_for_new_ones(starter_model: Path) -> None:
    params = EngineParams(context_length=256, max_sequences=2)
    async with await Engine.open(starter_model, params) as engine:
        for number in range(20):
            prompt = f"{number} " + "many different words " * 30
            result = await generate(engine, prompt, max_tokens=8, sampling=endless(engine))
            assert result.end.usage.completion_tokens == 8


async def test_when_room_runs_out_the_youngest_waits_and_nothing_is_lost(
    starter_model: Path,
) -> None:
    params = EngineParams(context_length=256, max_sequences=4)
    prompts = [f"Tell me about {country}." for country in COUNTRIES[:4]]
    async with await Engine.open(starter_model, params) as engine:
        results = await all_at_once(engine, prompts, max_tokens=120, ends=False)

    assert {r.end.usage.completion_tokens for r in results.values()} == {120}
    assert {len(r.tokens) for r in results.values()} == {120}


async def test_a_constraint_survives_giving_way(starter_model: Path) -> None:
    params = EngineParams(context_length=320, max_sequences=3)
    numbers = """{"type": "array", "items": {"type": "integer", "minimum": 1000, "maximum": 9999},
        "minItems": 40, "maxItems": 40, "x-guidance": {"whitespace_flexible": false}}"""
    results: list[Generated] = []
    async with await Engine.open(starter_model, params) as engine:
        constraint = await engine.compile(f"start: %json {numbers}")

        async def one(country: str) -> None:
            results.append(await generate(engine, country, max_tokens=250, constraint=constraint))

        with anyio.fail_after(seconds(60)):
            async with anyio.create_task_group() as group:
                for country in COUNTRIES[:3]:
                    group.start_soon(one, country)

    assert [len(json.loads(result.text)) for result in results] == [40, 40, 40]


async def test_a_context_smaller_than_the_batch_holds_many_prompts(starter_model: Path) -> None:
    params = EngineParams(context_length=256, batch_size=512)
    prompts = [f"{number} " + "some other words " * 45 for number in range(6)]
    async with await Engine.open(starter_model, params) as engine:
        results = await all_at_once(engine, prompts, max_tokens=4, ends=False)

    assert {result.end.usage.completion_tokens for result in results.values()} == {4}


async def test_a_burst_that_fits_beside_the_queue_is_taken(starter_model: Path) -> None:
    params = EngineParams(max_sequences=4, queue_limit=1)
    async with await Engine.open(starter_model, params) as engine:
        results = await all_at_once(engine, [capital_of(c) for c in COUNTRIES[:5]], max_tokens=2)

    assert len(results) == 5


async def test_cancelling_a_preempted_sequence_admits_others(starter_model: Path) -> None:
    params = EngineParams(context_length=512, max_sequences=3)
    is_full, is_over = anyio.Event(), anyio.Event()
    async with (
        await Engine.open(starter_model, params) as engine,
        anyio.create_task_group() as group,
    ):
        older, younger = (
            engine.generate(
                engine.vocabulary.tokenize(
                    f"{number} " + "tell me more " * 60, parse_special=False
                ),
                sampling=endless(engine),
            )
            for number in range(2)
        )

        async def read_older() -> None:
            num_read = 0
            async for _ in older:
                num_read += 1
                if num_read == 100:  # the two of them would then have more than 512 tokens
                    is_full.set()
            is_over.set()

        group.start_soon(read_older)
        async with aclosing(younger):
            await anext(younger)
            with anyio.fail_after(seconds(30)):
                await is_full.wait()

        await generate(engine, "Hi", max_tokens=1, sampling=endless(engine))

        assert not is_over.is_set()
        group.cancel_scope.cancel()


def test_more_sequences_than_batch_rows_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"engine\.max_sequences: must be at most"):
        EngineParams(max_sequences=64, batch_size=32)
    with pytest.raises(ConfigError, match=r"engine\.max_sequences: must be at most"):
        EngineParams(max_sequences=64, context_length=32)


@pytest.mark.parametrize("streamed", [True, False])
async def test_tokens_without_streaming_are_delivered_together(
    starter_model: Path, streamed: bool
) -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    async with await Engine.open(starter_model) as engine:
        prompt = engine.vocabulary.tokenize(chat("Count."), parse_special=True)
        chunks = engine.generate(prompt, sampling=endless(engine), max_tokens=2, streamed=streamed)
        count()
        turns_at = [turns async for _ in chunks]

    assert len(turns_at) == 2
    assert (turns_at[0] == turns_at[1]) == (not streamed)
