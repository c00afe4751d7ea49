"""States in files: prompt prefixes that a later start reuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import anyio
import numpy as np
import pytest
from anyio import to_thread
from engine.support import GREEDY, Generated, chat, generate, tokens_of
from engine.tiny_gguf import TinyModels

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import InvalidRequestError

INSTRUCTIONS = "You know everything about the world and answer with one word. " * 12
STATE, TOKENS = ".state.npy", ".tokens.npy"


def about(country: str) -> str:
    return INSTRUCTIONS + chat(f"What is the capital of {country}?")


def parameters(folder: Path, **more: object) -> EngineParams:
    small = EngineParams(context_length=512, max_sequences=2, threads=1, cache_dir=folder)
    return replace(small, **more)  # type: ignore[arg-type]


async def ask(
    model: Path, params: EngineParams, country: str, *, shared_prefix: int | None = None
) -> Generated:
    """Generate in a new engine, with the instructions as a shared prefix."""
    async with await Engine.open(model, params) as engine:
        if shared_prefix is None:
            shared_prefix = len(tokens_of(engine, INSTRUCTIONS))
        return await generate(engine, about(country), max_tokens=4, shared_prefix=shared_prefix)


def files(folder: Path, ending: str = "") -> list[Path]:
    return sorted(folder.glob(f"*/*{ending}"))


def saved_tokens(folder: Path) -> list[list[int]]:
    return [np.load(path).tolist() for path in files(folder, TOKENS)]


@pytest.mark.parametrize("kv_unified", [True, False])
async def test_a_later_start_computes_only_tokens_after_the_prefix(
    starter_model: Path, tmp_path: Path, kv_unified: bool
) -> None:
    params = parameters(tmp_path / "states", kv_unified=kv_unified, context_length=1024)
    first = await ask(starter_model, params, "France")
    async with await Engine.open(starter_model, params) as engine:
        prefix = tokens_of(engine, INSTRUCTIONS)
        again = await generate(engine, about("France"), max_tokens=4)
        other = await generate(engine, about("Spain"), max_tokens=1)
        stats = await engine.stats()
        await engine.check()

    assert first.end.usage.cached_tokens == 0
    assert (again.tokens, again.end.usage.cached_tokens) == (first.tokens, len(prefix))
    assert other.end.usage.cached_tokens >= len(prefix)
    assert stats.cache.restores == 1
    assert saved_tokens(tmp_path / "states") == [prefix]


@pytest.mark.parametrize("name", ["mamba", "jamba", "gemma"])
async def test_models_with_full_states_start_from_a_saved_one(
    tiny: TinyModels, tmp_path: Path, name: str
) -> None:
    model: Path = getattr(tiny, name)
    params = EngineParams(
        context_length=1024, max_sequences=4, threads=1, swa_full=False, cache_dir=tmp_path
    )
    for expected in (0, 200):
        async with await Engine.open(model, params) as engine:
            prompt = tokens_of(engine, "the cat is one of two and the dog is not " * 40)[:300]
            stream = engine.generate(prompt, sampling=GREEDY, max_tokens=2, shared_prefix=200)
            async with aclosing(stream):
                chunks = [chunk async for chunk in stream]
        assert chunks[-1].num_cached == expected


async def test_tokens_after_the_prefix_are_saved_only_with_conversations(
    starter_model: Path, tmp_path: Path
) -> None:
    await ask(starter_model, parameters(tmp_path / "a"), "France")
    await ask(starter_model, parameters(tmp_path / "b", cache_conversations=True), "France")
    await ask(starter_model, parameters(tmp_path / "c"), "France", shared_prefix=0)
    async with await Engine.open(starter_model, parameters(tmp_path / "d")) as engine:
        prefix, prompt = tokens_of(engine, INSTRUCTIONS), tokens_of(engine, about("France"))

    assert saved_tokens(tmp_path / "a") == [prefix]
    whole = max(saved_tokens(tmp_path / "b"), key=len)
    assert whole[: len(prompt)] == prompt
    assert not (tmp_path / "c").exists()


async def test_salted_prompts_are_never_saved(starter_model: Path, tmp_path: Path) -> None:
    params = parameters(tmp_path, cache_conversations=True)
    async with await Engine.open(starter_model, params) as engine:
        shared = len(tokens_of(engine, INSTRUCTIONS))
        await generate(engine, about("France"), max_tokens=4, cache_salt="a", shared_prefix=shared)

    assert [len(tokens) for tokens in saved_tokens(tmp_path)] == [shared]


async def test_a_conversation_continues_after_a_restart(
    starter_model: Path, tmp_path: Path
) -> None:
    params = parameters(tmp_path, cache_conversations=True)
    first = await ask(starter_model, params, "France", shared_prefix=0)
    again = await ask(starter_model, params, "France", shared_prefix=0)

    assert again.tokens == first.tokens
    assert again.end.usage.cached_tokens == again.end.usage.prompt_tokens - 1


async def test_saved_states_are_readable_by_their_owner_only(
    starter_model: Path, tmp_path: Path
) -> None:
    await ask(starter_model, parameters(tmp_path / "states"), "France")

    [folder] = (tmp_path / "states").iterdir()
    modes = {path.name[32:]: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert (folder.parent.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o700, 0o700)
    assert modes == {STATE: 0o600, TOKENS: 0o600}


def flip_a_bit(folder: Path) -> None:
    [state] = files(folder, STATE)
    content = bytearray(state.read_bytes())
    content[-100] ^= 1
    state.write_bytes(content)


def cut_the_state(folder: Path) -> None:
    [state] = files(folder, STATE)
    state.write_bytes(state.read_bytes()[:1000])


def empty_both(folder: Path) -> None:
    for path in files(folder):
        path.write_bytes(b"")


def put_other_data(folder: Path) -> None:
    [tokens] = files(folder, TOKENS)
    np.save(tokens, np.ones((3, 3)))


def put_an_object(folder: Path) -> None:
    [tokens] = files(folder, TOKENS)
    np.save(tokens, np.array([{"a": 1}], dtype=object))


def remove_the_state(folder: Path) -> None:
    [state] = files(folder, STATE)
    state.unlink()


def let_others_write(folder: Path) -> None:
    [model] = folder.iterdir()
    model.chmod(0o777)


@pytest.mark.parametrize(
    "spoil",
    [
        flip_a_bit,
        cut_the_state,
        empty_both,
        put_other_data,
        put_an_object,
        remove_the_state,
        let_others_write,
    ],
)
async def test_files_that_cannot_be_trusted_are_left_aside(
    starter_model: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    params = parameters(tmp_path / "states")
    first = await ask(starter_model, params, "France")
    await to_thread.run_sync(spoil, tmp_path / "states")
    again = await ask(starter_model, params, "France")

    assert again.tokens == first.tokens
    assert again.end.usage.cached_tokens == 0
    assert str(tmp_path / "states") in caplog.text


async def test_a_folder_that_cannot_be_written_costs_a_warning(
    starter_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = await ask(starter_model, parameters(tmp_path / "file" / "states"), "France")

    assert answer.tokens
    assert "cannot save a prompt" in caplog.text


async def test_states_of_other_parameters_are_not_taken(
    starter_model: Path, tmp_path: Path
) -> None:
    await ask(starter_model, parameters(tmp_path), "France")
    again = await ask(starter_model, parameters(tmp_path, cache_type_k="q8_0"), "France")

    assert again.end.usage.cached_tokens == 0


async def test_the_least_recently_used_states_are_removed_beyond_the_budget(
    starter_model: Path, tmp_path: Path
) -> None:
    """A state of the starter model takes 23 kB a token, so 2 MiB hold 90 tokens."""
    small = parameters(tmp_path, cache_disk_mib=7)
    async with await Engine.open(starter_model, small) as engine:
        old, new = (tokens_of(engine, f"{word} again and " * 100)[:200] for word in ("old", "new"))
    foreign = tmp_path / "notes.tokens.npy"
    foreign.write_text("not ours")
    await write_prefix(starter_model, small, old)
    os.utime(files(tmp_path, TOKENS)[0], (1, 1))
    await write_prefix(starter_model, small, new)

    assert saved_tokens(tmp_path) == [new]
    assert foreign.read_text() == "not ours"


async def test_a_state_over_the_budget_is_not_saved(starter_model: Path, tmp_path: Path) -> None:
    await ask(starter_model, parameters(tmp_path / "states", cache_disk_mib=1), "France")
    await ask(starter_model, parameters(tmp_path / "states", cache_disk_mib=0), "France")

    assert not (tmp_path / "states").exists()


async def write_prefix(model: Path, params: EngineParams, prompt: list[int]) -> None:
    async with await Engine.open(model, params) as engine:
        stream = engine.generate(
            [*prompt, prompt[0]], sampling=GREEDY, max_tokens=1, shared_prefix=len(prompt)
        )
        async with aclosing(stream):
            async for _ in stream:
                pass


async def test_a_generation_that_is_cancelled_leaves_the_prefix_it_computed(
    starter_model: Path, tmp_path: Path
) -> None:
    params = parameters(tmp_path, context_length=2048)
    async with await Engine.open(starter_model, params) as engine:
        prefix = tokens_of(engine, INSTRUCTIONS)
        prompt = tokens_of(engine, about("France"))
        stream = engine.generate(prompt, sampling=GREEDY, max_tokens=500, shared_prefix=len(prefix))
        async with aclosing(stream):
            await anext(stream)
    again = await ask(starter_model, params, "Spain")

    assert again.end.usage.cached_tokens == len(prefix)


async def test_the_part_of_a_prefix_that_was_computed_is_saved_when_the_engine_closes(
    starter_model: Path, tmp_path: Path
) -> None:
    params = parameters(tmp_path, context_length=4096, batch_size=64)
    async with await Engine.open(starter_model, params) as engine:
        prefix = tokens_of(engine, "all of it " * 900)
        async with anyio.create_task_group() as group:
            group.start_soon(write_into, engine, prefix)
            await computed(engine, 192)
            group.cancel_scope.cancel()

    [saved] = saved_tokens(tmp_path)
    assert 192 <= len(saved) < len(prefix)
    assert saved == prefix[: len(saved)]


async def computed(engine: Engine, num_tokens: int) -> None:
    """Wait until ``num_tokens`` prompt tokens have been computed; each look takes a step."""
    while True:
        stats = await engine.stats()
        if stats.steps.prefill_tokens >= num_tokens:
            return


async def write_into(engine: Engine, prefix: list[int]) -> None:
    stream = engine.generate(
        [*prefix, prefix[0]], sampling=GREEDY, max_tokens=1, shared_prefix=len(prefix)
    )
    async with aclosing(stream):
        async for _ in stream:
            pass


@pytest.mark.parametrize("length", [-1, 10_000])
async def test_a_prefix_longer_than_the_prompt_is_refused(
    starter_model: Path, tmp_path: Path, length: int
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await ask(starter_model, parameters(tmp_path), "France", shared_prefix=length)

    assert caught.value.param == "shared_prefix"
