"""The tiny models are what they say, and run."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine.support import endless, generate
from engine.tiny_gguf import WINDOW, Pooling, TinyModels, write_bert

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.engine.llama.model_file import ModelFile

KINDS = ["llama", "gemma", "mamba", "jamba"]
LONG = "the cat is one of two " * 12
"""Longer than the sliding window."""


async def said(path: Path, prompt: str, *, swa_full: bool = True) -> tuple[int, ...]:
    params = EngineParams(context_length=512, threads=1, swa_full=swa_full)
    async with await Engine.open(path, params) as engine:
        return (await generate(engine, prompt, max_tokens=16, sampling=endless(engine))).tokens


@pytest.mark.parametrize("kind", KINDS)
async def test_the_output_depends_only_on_the_prompt(tiny: TinyModels, kind: str) -> None:
    path: Path = getattr(tiny, kind)

    first, again, other = [await said(path, prompt) for prompt in (LONG, LONG, LONG + "on")]

    assert first == again
    assert first != other
    assert len(set(first)) > 4


@pytest.mark.parametrize(
    ("kind", "is_recurrent", "is_hybrid", "sliding_window"),
    [
        ("llama", False, False, 0),
        ("gemma", False, False, WINDOW),
        ("mamba", True, False, 0),
        ("jamba", False, True, 0),
    ],
)
def test_their_memories_are_of_four_kinds(
    tiny: TinyModels, kind: str, is_recurrent: bool, is_hybrid: bool, sliding_window: int
) -> None:
    model = ModelFile(getattr(tiny, kind))

    assert (model.is_recurrent, model.is_hybrid) == (is_recurrent, is_hybrid)
    assert model.sliding_window == sliding_window
    model.close()


async def test_a_prefix_outside_the_window_is_not_shared_without_swa_full(
    tiny: TinyModels,
) -> None:
    params = EngineParams(context_length=512, threads=1, swa_full=False)
    async with await Engine.open(tiny.gemma, params) as engine:
        await generate(engine, LONG + "and more", max_tokens=16, sampling=endless(engine))
        again = await generate(engine, LONG[:100] + "he", max_tokens=16, sampling=endless(engine))

    assert again.tokens == await said(tiny.gemma, LONG[:100] + "he", swa_full=False)


@pytest.mark.parametrize("pooling", ["none", "mean", "cls", "last", "rank"])
def test_a_bert_loads_with_every_pooling(tiny: TinyModels, pooling: Pooling) -> None:
    model = ModelFile(tiny.bert(pooling))

    assert model.vocabulary.tokenize("The cat!", parse_special=False) == (
        model.vocabulary.tokenize("the CAT !", parse_special=False)
    )
    model.close()


def test_a_file_is_written_alike_every_time(tiny: TinyModels, tmp_path: Path) -> None:
    again = write_bert(tmp_path / "again.gguf", "cls")

    assert again.read_bytes() == tiny.bert("cls").read_bytes()
