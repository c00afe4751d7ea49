"""Embeddings and rankings, compared with a forward pass in numpy and with each other."""

from __future__ import annotations

from pathlib import Path

import anyio
import numpy as np
import pytest
from engine.bert_reference import BertReference
from engine.tiny_gguf import BERT_CONTEXT, WIDTH, Pooling, TinyModels
from limits import seconds
from numpy.typing import NDArray

from kronk_agent.engine.embedding.engine import EmbeddingEngine
from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import (
    EngineError,
    InvalidRequestError,
    ModelError,
    OverloadedError,
)

TEXTS = [
    "what is the capital of france?",
    "paris",
    "tea is water, and the cat is a dog. " * 10,
    "the dog",
]
ONE_THREAD = EngineParams(threads=1)


def close_to(a: NDArray[np.float32], b: object) -> bool:
    # llama.cpp looks GELU up in a table of half-precision numbers.
    return np.allclose(a, np.asarray(b), atol=5e-3)


def normal(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
async def test_vectors_equal_the_reference_computation(tiny: TinyModels, pooling: Pooling) -> None:
    reference = BertReference(tiny.bert(pooling))
    async with await EmbeddingEngine.open(tiny.bert(pooling), ONE_THREAD) as engine:
        found = await engine.embed(TEXTS)
        raw = await engine.embed(TEXTS, normalize=False)
        cut = await engine.embed(TEXTS, dimensions=16)
        tokens = [
            engine.vocabulary.tokenize(text, parse_special=False, add_special=True)
            for text in TEXTS
        ]
        by_tokens = await engine.embed(tokens)

    hidden = [reference.hidden(one) for one in tokens]
    pooled = [{"mean": one.mean(axis=0), "cls": one[0], "last": one[-1]}[pooling] for one in hidden]
    assert found.num_tokens == sum(map(len, tokens))
    assert found.vectors.shape == (len(TEXTS), WIDTH)
    assert close_to(raw.vectors, pooled)
    assert close_to(found.vectors, [normal(one) for one in pooled])
    assert close_to(cut.vectors, [normal(one[:16]) for one in pooled])
    assert np.array_equal(by_tokens.vectors, found.vectors)


async def test_scores_are_the_output_of_the_models_head(tiny: TinyModels) -> None:
    reference = BertReference(tiny.bert("rank"))
    async with await EmbeddingEngine.open(tiny.bert("rank"), ONE_THREAD) as engine:
        ranking = await engine.rerank(TEXTS[0], TEXTS[1:])
        pairs = [engine.vocabulary.pair(TEXTS[0], text) for text in TEXTS[1:]]

    assert ranking.num_tokens == sum(map(len, pairs))
    assert ranking.scores == pytest.approx([reference.score(pair) for pair in pairs], abs=5e-3)
    assert len({round(score, 3) for score in ranking.scores}) == 3


@pytest.mark.parametrize(("max_sequences", "batch_size"), [(5, 64), (1, 100), (64, 64), (3, 512)])
async def test_inputs_are_the_same_in_any_batch(
    tiny: TinyModels, max_sequences: int, batch_size: int
) -> None:
    texts = [text * times for times in (1, 2, 3) for text in TEXTS[:2] + TEXTS[3:]] * 3
    params = EngineParams(
        threads=1, max_sequences=max_sequences, batch_size=batch_size, context_length=64
    )
    async with await EmbeddingEngine.open(tiny.bert("mean"), params) as engine:
        together = await engine.embed(texts)
        alone = [(await engine.embed([text])).vectors[0] for text in texts]

    assert np.allclose(together.vectors, alone, atol=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gemma", "mamba", "jamba"])
async def test_a_model_made_to_generate_embeds_by_its_last_token_or_the_mean(
    tiny: TinyModels, kind: str
) -> None:
    path: Path = getattr(tiny, kind)
    tokens = list(range(20, 60))
    beginnings = [tokens[: end + 1] for end in range(len(tokens))]
    async with await EmbeddingEngine.open(path, ONE_THREAD, pooling="last") as engine:
        last = await engine.embed(beginnings, normalize=False)
    async with await EmbeddingEngine.open(path, ONE_THREAD, pooling="mean") as engine:
        mean = await engine.embed([tokens, tokens[:7]], normalize=False)

    # Every token sees what came before it only, so the mean is that of the beginnings' last.
    assert close_to(mean.vectors[0], last.vectors.mean(axis=0))
    assert close_to(mean.vectors[1], last.vectors[:7].mean(axis=0))


async def test_texts_that_mean_the_same_are_closer(starter_model: Path) -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "Quarterly revenue rose by five percent.",
    ]
    async with await EmbeddingEngine.open(starter_model, ONE_THREAD, pooling="mean") as engine:
        cat, kitten, revenue = (await engine.embed(texts)).vectors

    assert cat @ kitten > cat @ revenue


@pytest.mark.parametrize(
    ("kind", "capabilities"),
    [
        ("llama", {"generate"}),
        ("llama_with_fim", {"generate", "fim"}),
        ("mamba", {"generate"}),
        ("mean", {"embed"}),
        ("rank", {"rerank"}),
        ("none", set()),
    ],
)
async def test_a_model_lists_its_capabilities(
    tiny: TinyModels, kind: str, capabilities: set[str]
) -> None:
    path: Path = getattr(tiny, kind, None) or tiny.bert(kind)  # type: ignore[arg-type]
    if "generate" in capabilities:
        async with await Engine.open(path, EngineParams(context_length=256)) as engine:
            assert engine.capabilities == capabilities
        return

    with pytest.raises(ModelError) as info:
        await Engine.open(path)
    made_for = f"; it was made to {''.join(capabilities)}" if capabilities else ""
    assert str(info.value) == f"{path}: this model cannot generate text{made_for}"
    async with await EmbeddingEngine.open(path, pooling="mean") as embedding_engine:
        assert embedding_engine.capabilities == capabilities


async def test_pooling_that_the_model_is_not_fit_for_is_refused(tiny: TinyModels) -> None:
    async def refusal(path: Path, pooling: Pooling | None) -> str:
        with pytest.raises(ModelError) as info:
            await EmbeddingEngine.open(path, pooling=pooling)  # type: ignore[arg-type]
        return str(info.value).removeprefix(f"{path}: ")

    assert await refusal(tiny.llama, None) == (
        "the file does not say how to pool; set pooling to mean or last"
    )
    assert await refusal(tiny.bert("none"), None) == (
        "the file does not say how to pool; set pooling to mean or cls"
    )
    assert await refusal(tiny.llama, "cls") == (
        "pooling cls uses the first token, which sees no other token in this "
        "model; set pooling to mean or last"
    )
    assert (
        await refusal(tiny.bert("mean"), "rank")
        == "this model has no ranking head, as pooling rank requires"
    )


async def test_more_context_than_the_model_has_positions_is_refused(tiny: TinyModels) -> None:
    params = EngineParams(context_length=BERT_CONTEXT + 1, rope_freq_scale=0.1)

    with pytest.raises(ModelError, match="context_length 513 is over the 512 tokens this model"):
        await EmbeddingEngine.open(tiny.bert("mean"), params)


async def test_bad_inputs_are_refused_by_name(tiny: TinyModels) -> None:
    params = EngineParams(context_length=32, threads=1)
    async with await EmbeddingEngine.open(tiny.bert("mean"), params) as engine:

        async def refusal(
            inputs: list[str | list[int]], dimensions: int | None = None
        ) -> tuple[str | None, str]:
            with pytest.raises(InvalidRequestError) as info:
                await engine.embed(inputs, dimensions=dimensions)
            return info.value.param, str(info.value)

        size = engine.vocabulary.size
        assert await refusal([]) == ("input", "input is empty")
        assert await refusal(["a", ""]) == ("input[1]", "input[1] is empty")
        assert await refusal([[]]) == ("input[0]", "input[0] is empty")
        assert await refusal([[1, size]]) == (
            "input[0]",
            f"input[0]: unknown token id {size}; this model's are 0 to {size - 1}",
        )
        assert await refusal(["cat " * 31]) == (
            "input[0]",
            "input[0]: at most 32 tokens, got 33: shorten it, or raise the model's context_length",
        )
        assert await refusal(["a"], dimensions=0) == (
            "dimensions",
            "dimensions must be from 1 to 64, not 0",
        )
        assert await refusal(["a"], dimensions=65) == (
            "dimensions",
            "dimensions must be from 1 to 64, not 65",
        )
        with pytest.raises(InvalidRequestError, match="this model embeds; it does not rank"):
            await engine.rerank("a", ["b"])


async def test_bad_rankings_are_refused_by_name(tiny: TinyModels) -> None:
    async with await EmbeddingEngine.open(tiny.bert("rank"), ONE_THREAD) as engine:

        async def refusal(query: str, documents: list[str]) -> tuple[str | None, str]:
            with pytest.raises(InvalidRequestError) as info:
                await engine.rerank(query, documents)
            return info.value.param, str(info.value)

        assert await refusal("", ["b"]) == ("query", "the query is empty")
        assert await refusal("a", []) == ("documents", "documents is empty")
        assert await refusal("a", ["b", "cat " * 600]) == (
            "documents[1]",
            "documents[1]: at most 512 tokens, got 603 with the query: shorten it",
        )
        with pytest.raises(InvalidRequestError, match="this model ranks documents; it does not"):
            await engine.embed(["a"])


# --- many at once ---------------------------------------------------------------------------


def endless(engine: EmbeddingEngine) -> list[list[int]]:
    """More inputs than could be computed while a test runs."""
    tokens = engine.vocabulary.tokenize("tea is water " * 150, parse_special=False)
    return [tokens] * 10_000


async def test_a_short_call_overtakes_a_long_one(tiny: TinyModels) -> None:
    async with (
        await EmbeddingEngine.open(tiny.bert("mean"), ONE_THREAD) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(engine.embed, endless(engine))
        await anyio.wait_all_tasks_blocked()

        with anyio.fail_after(seconds(10)):
            short = await engine.embed(["paris"])

        assert short.vectors.shape == (1, WIDTH)
        group.cancel_scope.cancel()


async def test_past_the_queue_limit_a_call_is_refused_and_cancelling_makes_room(
    tiny: TinyModels,
) -> None:
    params = EngineParams(threads=1, queue_limit=1)
    async with await EmbeddingEngine.open(tiny.bert("mean"), params) as engine:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(engine.embed, endless(engine))
            await anyio.wait_all_tasks_blocked()

            with pytest.raises(
                OverloadedError, match=r"the queue is full \(1 waiting.*queue_limit"
            ):
                await engine.embed(["paris"])

            group.cancel_scope.cancel()

        with anyio.fail_after(seconds(10)):
            assert (await engine.embed(["paris"])).vectors.shape == (1, WIDTH)


async def test_closing_ends_running_jobs_and_refuses_new_ones(tiny: TinyModels) -> None:
    engine = await EmbeddingEngine.open(tiny.bert("mean"), ONE_THREAD)
    errors: list[str] = []

    async def run_until_closed() -> None:
        try:
            await engine.embed(endless(engine))
        except EngineError as error:
            errors.append(str(error))

    with anyio.fail_after(seconds(20)):
        async with anyio.create_task_group() as group:
            group.start_soon(run_until_closed)
            group.start_soon(run_until_closed)
            await anyio.wait_all_tasks_blocked()
            await engine.close()
    await engine.close()

    assert errors == ["the engine was closed"] * 2
    with pytest.raises(EngineError, match="the engine is closed"):
        await engine.embed(["a"])
    with pytest.raises(EngineError, match="the engine is closed"):
        await engine.embed([[1]])
