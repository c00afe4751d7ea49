"""Prompt lookup decoding: the same output, in fewer steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine.support import GREEDY, chat, generate

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.engine.sampling.speculation import PromptLookup
from kronk_agent.settings import SamplingParams

POEM = (
    "The harbour wakes before the sun, the gulls complain, the nets are spun; "
    "a ferry hums across the bay and carries half the night away. "
)
QUOTE = chat(f"Repeat this text exactly:\n{POEM}{POEM}") + POEM


@pytest.mark.parametrize("sampling", [GREEDY, SamplingParams(temperature=0.3, seed=3)])
async def test_the_output_equals_that_without_drafts(
    starter_model: Path, sampling: SamplingParams
) -> None:
    async def run(*, speculation: bool) -> tuple[tuple[int, ...], int, int]:
        params = EngineParams(context_length=2048, speculation=speculation)
        async with await Engine.open(starter_model, params) as engine:
            result = await generate(engine, QUOTE, sampling=sampling, max_tokens=48)
            stats = await engine.stats()
            await engine.check()
        return result.tokens, result.end.num_steps, stats.steps.accepted_tokens

    plain, plain_steps, nothing = await run(speculation=False)
    drafted, drafted_steps, accepted = await run(speculation=True)

    assert drafted == plain
    assert nothing == 0
    assert accepted > 0
    assert drafted_steps == plain_steps - accepted


async def test_drafts_stay_inside_the_grammar(starter_model: Path) -> None:
    params = EngineParams(context_length=2048)
    row = '{"city": "Reykjavik", "country": "Iceland", "population": 139875}, '
    grammar = """start: %json {"type": "array", "minItems": 3, "maxItems": 3, "items": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 12},
        "country": {"type": "string", "maxLength": 12}, "population": {"type": "integer"}},
        "required": ["city", "country", "population"], "additionalProperties": false}}"""
    async with await Engine.open(starter_model, params) as engine:
        constraint = await engine.compile(grammar)
        prompt = chat(f"Copy: [{row * 3}]")
        result = await generate(engine, prompt, constraint=constraint, max_tokens=200)

    matcher = constraint.start()
    for token in result.tokens:
        matcher.consume(token)
    assert result.end.reason == "stop"


async def test_a_stop_sequence_inside_a_draft_ends_the_generation(starter_model: Path) -> None:
    async with await Engine.open(starter_model) as engine:
        whole = await generate(engine, QUOTE, max_tokens=24)
        stop = whole.text[8:11]
        result = await generate(engine, QUOTE, max_tokens=24, stop=[stop])
        await engine.check()

    assert result.text == whole.text[: whole.text.index(stop)]
    assert engine.detokenize(result.tokens).startswith(result.text)
    assert len(engine.detokenize(result.tokens)) < len(result.text) + len(stop) + 10


async def test_a_draft_ends_where_the_generation_may_end(starter_model: Path) -> None:
    async with await Engine.open(starter_model) as engine:
        for max_tokens in (1, 2, 3, 7):
            result = await generate(engine, QUOTE, max_tokens=max_tokens)
            assert len(result.tokens) == max_tokens


def test_a_draft_repeats_the_tokens_after_the_last_occurrence() -> None:
    tokens = np.array([1, 2, 3, 4, 5, 6, 1, 2, 3, 0, 0], np.int32)
    lookup = PromptLookup(tokens)

    assert lookup.draft(9, 16, min_acceptance=0.5).tolist() == [4, 5, 6, 1]
    assert lookup.draft(9, 2, min_acceptance=0.5).tolist() == [4, 5]
    assert lookup.draft(8, 16, min_acceptance=0.5).tolist() == []


def test_where_drafts_do_not_pay_only_a_long_match_is_tried() -> None:
    text = list(range(100, 110))
    short = np.array([*text, 7, 8, 9, 5, 5, 7, 8, 9, 0], np.int32)
    long = np.array([*text, 5, *text, 0], np.int32)
    for tokens, expected in ((short, []), (long, [5, 100])):
        lookup = PromptLookup(tokens)
        for _ in range(20):
            lookup.learn(4, 0)
        assert lookup.draft(len(tokens) - 1, 16, min_acceptance=0.5).tolist() == expected


def test_a_short_draft_that_was_wrong_is_tried_again_later_and_later() -> None:
    tokens = np.tile(np.arange(100, 110, dtype=np.int32), 40)
    lookup = PromptLookup(tokens)
    lookup.acceptance = 0.1
    tried = []
    for num_tokens in range(20, 300):
        if len(lookup.draft(num_tokens, 16, min_acceptance=0.5)):
            tried.append(num_tokens)
            lookup.learn(2, 0)

    assert tried == [20, 28, 44, 76, 140, 268]


def test_where_rows_cost_too_much_nothing_is_tried() -> None:
    tokens = np.tile(np.arange(100, 110, dtype=np.int32), 4)

    assert len(PromptLookup(tokens).draft(30, 16, min_acceptance=0.9)) == 0
