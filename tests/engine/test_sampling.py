"""Every sampler has its effect, with the name and the meaning it has in llama.cpp."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from engine.support import GREEDY, chat, generate

from kronk_agent.engine.engine import Engine
from kronk_agent.settings import SamplingParams

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRANCE = chat("What is the capital of France?")
LOOP = "one two three one two three one two three one two three"
HOT = SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=11)


async def drawn(engine: Engine, prompt: str, sampling: SamplingParams) -> tuple[int, ...]:
    return (await generate(engine, prompt, sampling=sampling, max_tokens=24)).tokens


@pytest.mark.parametrize(
    "changed",
    [
        {"top_k": 1},
        {"top_p": 0.0001},
        {"min_p": 1},
        {"top_n_sigma": 0.0001},
        {"dynatemp_range": 1.5, "temperature": 1.5, "dynatemp_exponent": 100},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_drawing_from_the_likeliest_alone_is_greedy(
    engine: Engine, changed: dict[str, float]
) -> None:
    narrow = replace(HOT, **changed)  # type: ignore[arg-type]

    answer = await generate(engine, FRANCE, sampling=narrow)

    assert answer.text == "The capital of France is Paris."


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=0, repeat_penalty=1.5),
        SamplingParams(temperature=0, frequency_penalty=2),
        SamplingParams(temperature=0, presence_penalty=5),
        SamplingParams(temperature=0, dry_multiplier=5),
    ],
    ids=["repeat", "frequency", "presence", "dry"],
)
async def test_every_penalty_breaks_a_loop(engine: Engine, sampling: SamplingParams) -> None:
    looping = await drawn(engine, LOOP, GREEDY)
    penalised = await drawn(engine, LOOP, sampling)

    assert len(set(looping)) < len(set(penalised))


async def test_a_sequence_breaker_ends_a_repetition_for_dry(engine: Engine) -> None:
    dry = SamplingParams(temperature=0, dry_multiplier=5)
    broken = replace(dry, dry_sequence_breakers=("one", "two", "three", " one", " two", " three"))

    assert await drawn(engine, LOOP, dry) != await drawn(engine, LOOP, GREEDY)
    assert await drawn(engine, LOOP, broken) == await drawn(engine, LOOP, GREEDY)


async def test_xtc_leaves_out_the_likeliest(engine: Engine) -> None:
    xtc = replace(HOT, temperature=0.01, xtc_probability=1, xtc_threshold=0.001)

    assert await drawn(engine, FRANCE, xtc) != await drawn(engine, FRANCE, GREEDY)


ADAPTING = pytest.mark.parametrize(
    "sampling",
    [
        replace(HOT, mirostat=1, temperature=1),
        replace(HOT, mirostat=2, temperature=1),
        replace(HOT, adaptive_target=0.3, temperature=1),
    ],
    ids=["mirostat-1", "mirostat-2", "adaptive-p"],
)


@ADAPTING
async def test_samplers_that_adapt_are_seeded(
    starter_model: Path, sampling: SamplingParams
) -> None:
    async def story(seed: int) -> tuple[int, ...]:
        async with await Engine.open(starter_model) as fresh:
            return await drawn(fresh, chat("Tell me a story."), replace(sampling, seed=seed))

    first, again, other = await story(1), await story(1), await story(2)

    assert first == again
    assert first != other


@ADAPTING
async def test_samplers_that_adapt_keep_to_a_grammar(
    engine: Engine, sampling: SamplingParams
) -> None:
    cities = ["Paris", "Rome", "Oslo", "Lima", "Bern"]
    constraint = await engine.compile(f"start: %json {json.dumps({'enum': cities})}")

    for seed in range(5):
        answer = await generate(
            engine, FRANCE, sampling=replace(sampling, seed=seed), constraint=constraint
        )
        assert json.loads(answer.text) in cities


async def test_typical_sampling_changes_the_tokens(engine: Engine) -> None:
    assert await drawn(engine, FRANCE, replace(HOT, typical_p=0.01)) != await drawn(
        engine, FRANCE, HOT
    )


async def test_only_the_samplers_of_the_list_are_applied(engine: Engine) -> None:
    narrow = replace(HOT, top_k=1)

    assert await drawn(engine, FRANCE, narrow) != await drawn(
        engine, FRANCE, replace(narrow, samplers=("temperature",))
    )
    assert await drawn(engine, FRANCE, replace(HOT, samplers=("top_k",), top_k=1)) == await drawn(
        engine, FRANCE, GREEDY
    )


async def test_infill_ends_rather_than_go_on_unsurely(engine: Engine) -> None:
    params = replace(HOT, samplers=("top_k", "top_p", "infill"), top_k=40, top_p=0.99)
    plain = await drawn(engine, FRANCE, replace(params, samplers=("top_k", "top_p")))
    filled = await drawn(engine, FRANCE, params)

    assert len(filled) < len(plain)
