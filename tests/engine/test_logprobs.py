from __future__ import annotations

import math
from contextlib import aclosing

import numpy as np
import pytest
from engine.support import GREEDY, chat
from hypothesis import given
from hypothesis import strategies as st

from kronk_agent.engine.engine import Chunk, Constraint, Engine
from kronk_agent.engine.sampling.logprobs import RowLogprobs
from kronk_agent.errors import InvalidRequestError

FRANCE = chat("What is the capital of France?")


async def chunks_of(
    engine: Engine, top_logprobs: int | None, constraint: Constraint | None = None
) -> list[Chunk]:
    prompt = engine.vocabulary.tokenize(FRANCE, parse_special=True)
    stream = engine.generate(
        prompt,
        sampling=GREEDY,
        max_tokens=20,
        constraint=constraint,
        top_logprobs=top_logprobs,
    )
    async with aclosing(stream):
        return [chunk async for chunk in stream]


@pytest.mark.asyncio(loop_scope="module")
async def test_every_token_has_its_logprob_and_the_likeliest_beside_it(engine: Engine) -> None:
    chunks = await chunks_of(engine, top_logprobs=3)

    logprobs = [one for chunk in chunks for one in chunk.logprobs]
    assert [one.token for one in logprobs] == [t for chunk in chunks for t in chunk.tokens]
    assert engine.vocabulary.detokenize([one.token for one in logprobs]) == (
        "The capital of France is Paris."
    )
    for one in logprobs:
        assert len(one.top) == 3
        assert one.top[0] == (one.token, one.logprob)  # greedy takes the likeliest
        assert one.logprob <= 0
        assert [logprob for _, logprob in one.top] == sorted((p for _, p in one.top), reverse=True)
    [of] = engine.vocabulary.tokenize(" of", parse_special=False)
    [certain] = [one for one in logprobs if one.token == of]
    assert math.exp(certain.logprob) > 0.9


@pytest.mark.asyncio(loop_scope="module")
async def test_logprobs_are_absent_by_default(engine: Engine) -> None:
    assert {chunk.logprobs for chunk in await chunks_of(engine, top_logprobs=None)} == {()}


@pytest.mark.asyncio(loop_scope="module")
async def test_forced_tokens_have_the_models_own_logprobs(engine: Engine) -> None:
    constraint = await engine.compile('start: "Bananas are blue."')

    chunks = await chunks_of(engine, 0, constraint)

    assert "".join(chunk.text for chunk in chunks) == "Bananas are blue."
    logprobs = [one for chunk in chunks for one in chunk.logprobs]
    assert len(logprobs) == sum(len(chunk.tokens) for chunk in chunks) > 3
    assert logprobs[0].logprob < -5  # not what the model would have said
    assert {one.top for one in logprobs} == {()}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("number", [-1, 21])
async def test_too_many_alternatives_are_refused(engine: Engine, number: int) -> None:
    with pytest.raises(InvalidRequestError, match="top_logprobs must be from 0 to 20"):
        await chunks_of(engine, top_logprobs=number)


@given(
    values=st.lists(
        st.floats(-50, 50, width=32) | st.just(float("-inf")), min_size=4, max_size=40
    ).filter(lambda values: max(values) > float("-inf"))
)
def test_the_probabilities_add_up_to_one(values: list[float]) -> None:
    row = RowLogprobs(np.array(values, np.float32), 4)

    logprobs = [row.of(token).logprob for token in range(len(values))]

    assert sum(map(math.exp, logprobs)) == pytest.approx(1, rel=1e-4)
    assert [p for _, p in row.of(0).top] == sorted(logprobs, reverse=True)[:4]
