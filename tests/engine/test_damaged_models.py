"""Damaged model files are refused without a crash. ``python -m attack.gguf`` tries many more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attack.gguf import mutants
from engine.tiny_gguf import TinyModels
from limits import seconds

from kronk_agent.engine.engine import Engine
from kronk_agent.errors import ModelError

TESTS = Path(__file__).parents[1]


@pytest.mark.e2e
def test_a_process_that_loads_damaged_models_lives_on(tiny: TinyModels, tmp_path: Path) -> None:
    paths = []
    for number, (_, data) in enumerate(mutants(tiny.llama.read_bytes(), 20, seed=1)):
        paths.append(tmp_path / f"{number}.gguf")
        paths[-1].write_bytes(data)

    done = subprocess.run(
        [sys.executable, "-m", "attack.gguf", "--one", *map(str, paths)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )

    assert done.returncode == 0, done.stderr
    outcomes = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert len(outcomes) == len(paths)
    assert set(outcomes) == {"answered", "refused"}


@pytest.mark.parametrize("number", [0, 77_777, 2**31 - 1])
async def test_a_number_of_blocks_that_cannot_be_is_named(
    tiny: TinyModels, tmp_path: Path, number: int
) -> None:
    data = bytearray(tiny.llama.read_bytes())
    key = b"llama.block_count"
    at = data.index(key) + len(key) + 4
    data[at : at + 4] = number.to_bytes(4, "little")
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)

    for _ in range(2):
        with pytest.raises(ModelError) as info:
            await Engine.open(path)
        assert str(info.value) == (
            f"{path}: llama.cpp cannot load this file: llama.block_count is {number}, "
            "not 1 to 512; download it again"
        )


async def test_a_text_in_the_header_that_is_longer_than_any_file(
    tiny: TinyModels, tmp_path: Path
) -> None:
    data = bytearray(tiny.llama.read_bytes())
    key = b"tokenizer.ggml.tokens"
    at = data.index(key) + len(key) + 16  # behind the types and the number of texts
    data[at : at + 8] = (2**63).to_bytes(8, "little")
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)

    with pytest.raises(ModelError, match="the header is truncated"):
        await Engine.open(path)
