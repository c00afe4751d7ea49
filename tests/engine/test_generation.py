"""Output of one generation, with the real starter model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine.support import GREEDY, chat, endless, generate

from kronk_agent.engine.engine import Engine
from kronk_agent.errors import ConstraintError, ContextLengthError, EngineError, InvalidRequestError
from kronk_agent.messages import Usage
from kronk_agent.settings import SamplingParams

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRANCE = chat("What is the capital of France?")
CALL = """
start: "{\\"name\\": \\"area\\", \\"arguments\\": " arguments "}"
arguments: %json {"type": "object", "properties": {
    "shape": {"enum": ["circle", "square"]}, "size": {"type": "integer", "minimum": 1, "maximum": 9}
  }, "required": ["shape", "size"], "additionalProperties": false,
  "x-guidance": {"whitespace_flexible": false}}
"""


async def test_the_model_answers_and_stops_by_itself(engine: Engine) -> None:
    answer = await generate(engine, FRANCE)

    assert answer.text == "The capital of France is Paris."
    assert engine.vocabulary.detokenize(answer.tokens) == answer.text
    assert answer.end.reason == "stop"
    assert answer.end.usage == Usage(prompt_tokens=16, completion_tokens=7)


async def test_max_tokens_ends_a_generation_with_length(engine: Engine) -> None:
    answer = await generate(engine, FRANCE, max_tokens=3)

    assert (answer.text, answer.end.reason) == ("The capital of", "length")


async def test_a_full_context_ends_a_generation_with_length(engine: Engine) -> None:
    prompt = "word " * (engine.context_length - 20)

    answer = await generate(engine, prompt, sampling=endless(engine), max_tokens=1_000_000)

    assert answer.end.reason == "length"
    total = answer.end.usage.prompt_tokens + answer.end.usage.completion_tokens
    assert total == engine.context_length


@pytest.mark.parametrize("temperature", [0.8, 1.5])
async def test_the_same_seed_gives_the_same_tokens(starter_model: Path, temperature: float) -> None:
    async def draw(seed: int) -> tuple[int, ...]:
        sampling = SamplingParams(temperature=temperature, seed=seed)
        async with await Engine.open(starter_model) as fresh:
            return (await generate(fresh, chat("Tell me a story."), sampling=sampling)).tokens

    first, again, other = await draw(1), await draw(1), await draw(2)

    assert first == again
    assert first != other


async def test_without_a_seed_generations_differ(engine: Engine) -> None:
    sampling = SamplingParams(temperature=1.5)
    stories = {
        (await generate(engine, chat("Tell me a story."), sampling=sampling)).tokens
        for _ in range(3)
    }
    assert len(stories) == 3


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=1, top_k=1),
        SamplingParams(temperature=1, top_k=0, top_p=0.0001, min_p=0),
        SamplingParams(temperature=1, top_k=0, top_p=1, min_p=1),
    ],
    ids=["top_k", "top_p", "min_p"],
)
async def test_a_cut_to_the_likeliest_token_is_greedy(
    engine: Engine, sampling: SamplingParams
) -> None:
    assert (await generate(engine, FRANCE, sampling=sampling)).text == (
        "The capital of France is Paris."
    )


async def test_logit_bias_bans_a_token(engine: Engine) -> None:
    [paris] = engine.vocabulary.tokenize(" Paris", parse_special=False)

    answer = await generate(
        engine, FRANCE, sampling=SamplingParams(temperature=0, logit_bias={paris: -100.0})
    )

    assert paris not in answer.tokens


async def test_a_repeat_penalty_breaks_a_loop(engine: Engine) -> None:
    prompt = "one two one two one two one two one two"
    looping = await generate(engine, prompt, max_tokens=30)
    penalised = await generate(
        engine, prompt, max_tokens=30, sampling=SamplingParams(temperature=0, repeat_penalty=1.5)
    )

    assert len(set(looping.tokens)) < len(set(penalised.tokens))


@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        SamplingParams(temperature=1.5, seed=3),
        SamplingParams(temperature=1.5, seed=3, repeat_penalty=1.3, frequency_penalty=0.5),
    ],
    ids=["greedy", "hot", "hot-with-penalties"],
)
async def test_a_constraint_is_always_kept(engine: Engine, sampling: SamplingParams) -> None:
    constraint = await engine.compile(CALL)

    call = await generate(engine, FRANCE, sampling=sampling, max_tokens=200, constraint=constraint)

    parsed = json.loads(call.text)
    assert parsed["name"] == "area"
    assert parsed["arguments"]["shape"] in {"circle", "square"}
    assert 1 <= parsed["arguments"]["size"] <= 9
    assert call.end.reason == "stop"


async def test_fast_forward_tokens_cost_no_decoding(engine: Engine) -> None:
    constraint = await engine.compile('start: "It is 12 o\'clock in the café 🎉"')

    decoded = 0

    def count() -> None:
        nonlocal decoded
        decoded += 1

    forced = await generate(engine, FRANCE, constraint=constraint, on_token=count)

    assert decoded == 1  # all of it in one piece, before anything was computed
    assert forced.text == "It is 12 o'clock in the café 🎉"
    assert forced.end.usage == Usage(prompt_tokens=16, completion_tokens=len(forced.tokens))


async def test_penalties_count_fast_forward_tokens(engine: Engine) -> None:
    constraint = await engine.compile('start: " cat cat cat" / (cat|dog)/')

    async def last_word(**penalties: float) -> str:
        sampling = SamplingParams(temperature=0, **penalties)  # type: ignore[arg-type]
        answer = await generate(engine, "Animals:", constraint=constraint, sampling=sampling)
        return answer.text.split()[-1]

    assert await last_word() == "cat"
    assert await last_word(presence_penalty=100.0) == "dog"


async def test_characters_split_over_tokens_arrive_complete(engine: Engine) -> None:
    constraint = await engine.compile("start: /[😀-🙏]{8}/")

    faces = await generate(
        engine, FRANCE, constraint=constraint, sampling=SamplingParams(temperature=1, seed=1)
    )

    assert len(faces.text) == 8
    assert len(faces.tokens) > 8
    assert "\ufffd" not in faces.text


async def test_a_constraint_cut_off_by_max_tokens_is_a_prefix(engine: Engine) -> None:
    constraint = await engine.compile('start: "one two three four five six seven eight nine ten"')

    forced = await generate(engine, FRANCE, constraint=constraint, max_tokens=3)

    assert (forced.text, forced.end.reason) == ("one two three", "length")


async def test_a_refused_grammar_says_why(engine: Engine) -> None:
    with pytest.raises(ConstraintError, match="unknown name"):
        await engine.compile("start: nothing_there")


async def test_bad_requests_are_refused_by_name(engine: Engine) -> None:
    async def refused(
        prompt: list[int], max_tokens: int | None = None, sampling: SamplingParams = GREEDY
    ) -> tuple[str | None, str]:
        with pytest.raises(InvalidRequestError) as info:
            await anext(engine.generate(prompt, sampling=sampling, max_tokens=max_tokens))
        return info.value.param, str(info.value)

    assert await refused([]) == ("prompt", "the prompt is empty")
    assert await refused([1, 49152]) == (
        "prompt",
        "prompt: unknown token id 49152; this model's are 0 to 49151",
    )
    assert await refused([1], sampling=SamplingParams(logit_bias={-1: 2.0})) == (
        "logit_bias",
        "logit_bias: unknown token id -1; this model's are 0 to 49151",
    )
    assert await refused([1], max_tokens=-1) == (
        "max_tokens",
        "max_tokens must be 0 or more, not -1",
    )


async def test_a_prompt_over_the_context_is_refused_with_both_numbers(engine: Engine) -> None:
    with pytest.raises(ContextLengthError) as info:
        await generate(engine, "word " * 3000)

    assert info.value.num_prompt_tokens == 3001
    assert info.value.context_length == 2048
    assert "3001" in str(info.value)


async def test_generating_after_close_is_an_error(starter_model: Path) -> None:
    closed = await Engine.open(starter_model)
    await closed.compile('start: "known"')
    await closed.close()
    await closed.close()

    for use in (
        lambda: generate(closed, FRANCE),
        lambda: anext(closed.generate([1], sampling=GREEDY)),
        lambda: closed.compile('start: "a"'),
        lambda: closed.compile('start: "known"'),
    ):
        with pytest.raises(EngineError, match="the engine is closed"):
            await use()


async def test_texts_are_tokenised_counted_and_put_together_again(engine: Engine) -> None:
    text = FRANCE + "Zürich 🎉"

    as_text, as_trusted = engine.tokenize(text), engine.tokenize(text, parse_special=True)

    assert engine.detokenize(as_text) == engine.detokenize(as_trusted) == text
    assert len(as_trusted) < len(as_text)
    assert engine.count_tokens(text) == len(as_text)
    assert engine.count_tokens(text, parse_special=True) == len(as_trusted)
    assert engine.count_tokens("a", add_special=True) == len(engine.tokenize("a", add_special=True))


async def test_ids_the_model_has_not_are_no_text(engine: Engine) -> None:
    with pytest.raises(
        InvalidRequestError, match="tokens: unknown token id 49152; this model's are 0 to 49151"
    ):
        engine.detokenize([1, 49152])
