"""Options of one generation: stop sequences, several completions, logprobs, deadline, priority."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from engine.support import GREEDY, chat, endless, generate, tokens_of
from limits import seconds

from kronk_agent.engine.best_of import Completion, generate_best
from kronk_agent.engine.engine import Chunk, Engine, EngineParams
from kronk_agent.engine.sampling.stops import StopFinder
from kronk_agent.errors import ConstraintError, DeadlineError, InvalidRequestError
from kronk_agent.settings import SamplingParams

on_the_engines_loop = pytest.mark.asyncio(loop_scope="module")

COUNT = "1 2 3 4 5 6 7 8 9 10 "


@on_the_engines_loop
async def test_a_stop_text_ends_a_generation_wherever_tokens_split_it(engine: Engine) -> None:
    whole = await generate(engine, chat("What is the capital of France?"))
    assert whole.text == "The capital of France is Paris."
    for stop in ("capital of Fr", "ance is P", "Paris."):
        result = await generate(
            engine, chat("What is the capital of France?"), stop=["never said", stop]
        )

        assert result.text == whole.text[: whole.text.index(stop)]
        assert (result.end.reason, result.end.stop_text) == ("stop", stop)


@on_the_engines_loop
async def test_the_start_of_a_stop_text_that_does_not_come_is_given_in_the_end(
    engine: Engine,
) -> None:
    result = await generate(engine, chat("What is the capital of France?"), stop=["Paris.\n\n"])

    assert result.text == "The capital of France is Paris."
    assert result.end.stop_text is None


def test_the_stop_text_that_is_complete_first_is_the_one() -> None:
    finder = StopFinder(["abcdef", "cd"])

    assert finder.push("xab", is_last=False) == "x"
    assert finder.push("cde", is_last=False) == "ab"
    assert finder.found == "cd"


async def test_max_tokens_zero_only_computes_the_prompt(starter_model: Path) -> None:
    async with await Engine.open(starter_model) as engine:
        prompt = chat("What is the capital of France?")
        warmed = await generate(engine, prompt, max_tokens=0)
        answer = await generate(engine, prompt)

    assert (warmed.tokens, warmed.end.reason) == ((), "length")
    assert answer.end.usage.cached_tokens == answer.end.usage.prompt_tokens - 1


async def test_several_generations_share_one_prompt_and_differ_by_seed(
    starter_model: Path,
) -> None:
    sampling = SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=7)
    async with await Engine.open(starter_model) as engine:
        prompt = tokens_of(engine, chat("Invent a word."))
        chunks: list[list[Chunk]] = [[] for _ in range(4)]
        stream = engine.generate_many(prompt, 4, sampling=sampling, max_tokens=12)
        async with aclosing(stream):
            async for index, chunk in stream:
                chunks[index].append(chunk)
        stats = await engine.stats()
        await engine.check()

    texts = ["".join(chunk.text for chunk in one) for one in chunks]
    assert len(set(texts)) == 4
    ends = [one[-1].end for one in chunks]
    assert [end is not None and end.usage.cached_tokens for end in ends] == [
        0,
        *[len(prompt) - 1] * 3,
    ]
    assert stats.steps.prefill_tokens == len(prompt) + 3


@on_the_engines_loop
async def test_the_first_of_several_is_the_one_alone(engine: Engine) -> None:
    sampling = SamplingParams(temperature=0.5, seed=3)
    alone = await generate(engine, chat("Say hello."), sampling=sampling, max_tokens=8)
    prompt = tokens_of(engine, chat("Say hello."))
    stream = engine.generate_many(prompt, 2, sampling=sampling, max_tokens=8)
    async with aclosing(stream):
        first = [chunk async for index, chunk in stream if index == 0]

    assert "".join(chunk.text for chunk in first) == alone.text


async def test_the_best_of_several_are_the_likeliest(starter_model: Path) -> None:
    sampling = SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=1)

    async def run(n: int) -> list[Completion]:
        async with await Engine.open(starter_model) as engine:
            prompt = tokens_of(engine, chat("What is the capital of France?"))
            return await generate_best(
                engine, prompt, n=n, best_of=5, sampling=sampling, max_tokens=8
            )

    every, best = await run(5), await run(2)

    likelihoods = [completion.mean_logprob for completion in every]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert [c.tokens for c in best] == [c.tokens for c in every[:2]]


@on_the_engines_loop
async def test_prompt_logprobs_are_the_models_own(engine: Engine) -> None:
    prompt = COUNT + "11"
    result: list[Chunk] = []
    stream = engine.generate(
        tokens_of(engine, prompt), sampling=GREEDY, max_tokens=1, prompt_logprobs=1
    )
    async with aclosing(stream):
        result = [chunk async for chunk in stream]
    scored = result[0].prompt_logprobs
    tokens = tokens_of(engine, prompt)

    assert [one.token for one in scored] == tokens[1:]
    # What the model finds likeliest after all but the last token is what it then generates.
    shorter = await generate(engine, COUNT + "1", max_tokens=1)
    assert scored[-1].top[0][0] == shorter.tokens[0]
    assert all(one.logprob <= one.top[0][1] + 1e-6 for one in scored)
    assert result[-1].end is not None
    assert result[-1].end.usage.cached_tokens == 0


@on_the_engines_loop
async def test_logprobs_after_sampling_cover_the_remaining_tokens(engine: Engine) -> None:
    sampling = SamplingParams(temperature=1.0, top_k=3, top_p=1, min_p=0, seed=5)
    stream = engine.generate(
        tokens_of(engine, chat("Invent a word.")),
        sampling=sampling,
        max_tokens=6,
        top_logprobs=5,
        logprobs_after_sampling=True,
    )
    async with aclosing(stream):
        chunks = [chunk async for chunk in stream]
    plain = await generate(engine, chat("Invent a word."), sampling=sampling, max_tokens=6)

    scored = [one for chunk in chunks for one in chunk.logprobs]
    assert tuple(one.token for one in scored) == plain.tokens
    for one in scored:
        probabilities = [2.718281828459045**logprob for _, logprob in one.top]
        assert len(one.top) <= 3
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert one.logprob in [logprob for _, logprob in one.top]


@on_the_engines_loop
async def test_greedy_leaves_one_token(engine: Engine) -> None:
    stream = engine.generate(
        tokens_of(engine, COUNT),
        sampling=GREEDY,
        max_tokens=1,
        top_logprobs=2,
        logprobs_after_sampling=True,
    )
    async with aclosing(stream):
        [chunk] = [chunk async for chunk in stream]

    [scored] = chunk.logprobs
    assert (scored.logprob, scored.top) == (0.0, ((scored.token, 0.0),))


async def test_a_deadline_ends_running_and_waiting_sequences(starter_model: Path) -> None:
    async with await Engine.open(starter_model, EngineParams(max_sequences=1)) as engine:
        with anyio.fail_after(seconds(30)), pytest.raises(DeadlineError, match="generated tokens"):
            await generate(
                engine,
                COUNT,
                sampling=endless(engine),
                max_tokens=None,
                deadline_seconds=seconds(0.5),
            )
        async with aclosing(
            engine.generate(tokens_of(engine, COUNT), sampling=endless(engine))
        ) as running:
            await anext(running)
            with pytest.raises(DeadlineError, match="after 0 generated tokens"):
                await generate(engine, COUNT, deadline_seconds=seconds(0.2))
        await engine.check()


async def test_a_background_sequence_is_preempted_and_resumes(starter_model: Path) -> None:
    async with (
        await Engine.open(starter_model, EngineParams(max_sequences=1)) as engine,
        aclosing(
            engine.generate(
                tokens_of(engine, COUNT),
                sampling=endless(engine),
                max_tokens=60,
                priority="background",
            )
        ) as background,
    ):
        tokens = list((await anext(background)).tokens)
        with anyio.fail_after(seconds(30)):
            answer = await generate(engine, chat("What is the capital of France?"))
            tokens += [token async for chunk in background for token in chunk.tokens]
        stats = await engine.stats()
        alone = await generate(engine, COUNT, sampling=endless(engine), max_tokens=60)
        await engine.check()

    assert answer.text == "The capital of France is Paris."
    assert tuple(tokens) == alone.tokens
    assert stats.steps.preemptions == 1


@on_the_engines_loop
@pytest.mark.parametrize(
    ("options", "param", "message"),
    [
        ({"stop": ["x"] * 10_000}, "stop", "stop: at most 64 sequences, got 10000"),
        ({"stop": [""]}, "stop", "stop: a sequence must have 1 to 1024 characters, got 0"),
        ({"top_logprobs": 21}, "top_logprobs", "top_logprobs must be from 0 to 20, not 21"),
        ({"prompt_logprobs": -1}, "prompt_logprobs", "prompt_logprobs must be from 0 to 20"),
        ({"logprobs_after_sampling": True}, "logprobs_after_sampling", "requires top_logprobs"),
        ({"deadline_seconds": 0}, "deadline_seconds", "must be more than 0, not 0"),
    ],
)
async def test_an_invalid_request_is_refused_and_the_error_names_the_field(
    engine: Engine, options: dict[str, object], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as info:
        await generate(engine, "Hi", **options)  # type: ignore[arg-type]

    assert info.value.param == param


@on_the_engines_loop
async def test_a_grammar_of_many_megabytes_is_refused(engine: Engine) -> None:
    with pytest.raises(ConstraintError, match="characters, at most 4000000 are allowed"):
        await engine.compile(f'start: "{"x" * 4_000_000}"')


@on_the_engines_loop
async def test_the_number_of_generations_has_bounds(engine: Engine) -> None:
    for n in (0, 129):
        with pytest.raises(InvalidRequestError, match=f"n must be from 1 to 128, not {n}"):
            await anext(engine.generate_many([1], n, sampling=GREEDY))
    with pytest.raises(InvalidRequestError, match=r"n must be from 1 to best_of \(2\), not 3"):
        await generate_best(engine, [1], n=3, best_of=2, sampling=GREEDY)


async def test_stats_describe_the_running_engine(starter_model: Path) -> None:
    async with await Engine.open(starter_model, EngineParams(max_sequences=1)) as engine:
        running = engine.generate(tokens_of(engine, COUNT), sampling=endless(engine))
        async with aclosing(running), anyio.create_task_group() as group:
            await anext(running)
            group.start_soon(generate, engine, COUNT)
            await anyio.wait_all_tasks_blocked()
            stats = await engine.stats()

            assert (stats.num_running, stats.num_waiting) == (1, 1)
            assert [one.state for one in stats.sequences] == ["decode", "waiting"]
            first = stats.sequences[0]
            assert first.computed_tokens == stats.kv_cells_used >= first.prompt_tokens
            assert stats.kv_cells_total == engine.context_length
            steps = stats.steps
            assert steps.prefill_tokens == first.prompt_tokens
            assert 0 < steps.prefill_seconds <= steps.compute_seconds <= steps.busy_seconds + 0.05
            assert stats.rows_per_step > 0
            assert stats.tokens_per_second > 0
            group.cancel_scope.cancel()
