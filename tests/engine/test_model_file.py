"""Errors for files that are not models."""

from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.errors import ModelError


async def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as info:
        await Engine.open(path)
    return str(info.value)


async def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    assert await refusal(path) == f"{path}: no such file"


async def test_a_folder(tmp_path: Path) -> None:
    assert await refusal(tmp_path) == f"{tmp_path}: is a folder; name the .gguf file in it"


@pytest.mark.parametrize("content", [b"", b"GG", b"not a model at all"])
async def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    assert await refusal(path) == f"{path}: not a GGUF file"


@pytest.mark.parametrize("size", [4, 16, 5_000, 2_000_000, 50_000_000])
async def test_a_model_cut_short(tmp_path: Path, starter_model: Path, size: int) -> None:
    path = tmp_path / "cut.gguf"
    with starter_model.open("rb") as file:
        path.write_bytes(file.read(size))
    assert (await refusal(path)).startswith(f"{path}: llama.cpp cannot load this file")


async def test_a_damaged_header(tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 16)
    assert (await refusal(path)).startswith(f"{path}: llama.cpp cannot load this file")


async def test_llama_cpp_says_nothing_on_the_terminal(
    starter_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF")
    await refusal(path)
    async with await Engine.open(starter_model, EngineParams(context_length=512)):
        pass
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
