"""Damaged model files: none aborts the process that loads them, and none hangs it.

``python -m attack.gguf BASE.gguf [NUMBER]`` with ``tests`` on the path tries 300 by default and
prints how they ended. Each is loaded, and generates a token where it can, in a process of its own.
"""

from __future__ import annotations

import collections
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio

LONGEST_SECONDS = 20
_NUMBERS = (0, 1, 2, 3, 7, 255, 513, 77_777, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_KEYS = (
    b".block_count",
    b".context_length",
    b".embedding_length",
    b".feed_forward_length",
    b".attention.head_count",
    b".attention.head_count_kv",
    b".attention.layer_norm_rms_epsilon",
    b".rope.dimension_count",
    b".vocab_size",
    b"general.alignment",
    b"general.architecture",
    b"general.file_type",
    b"tokenizer.ggml.model",
    b"tokenizer.ggml.pre",
    b"tokenizer.ggml.tokens",
    b"tokenizer.ggml.scores",
    b"tokenizer.ggml.token_type",
    b"tokenizer.ggml.merges",
    b"tokenizer.ggml.bos_token_id",
    b"tokenizer.ggml.eos_token_id",
)


def mutants(whole: bytes, number: int, *, seed: int = 7) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of a model file, with what was done to each."""
    chance = random.Random(seed)
    header_end = _header_end(whole)
    keys = [key for key in _KEYS if key in whole[:header_end]]
    tensors = list(_each(whole[:header_end], b".weight"))
    for _ in range(number):
        data = bytearray(whole)
        match chance.randrange(6):
            case 0:
                length = chance.choice([chance.randrange(64), chance.randrange(len(data))])
                yield f"cut to {length}", bytes(data[:length])
                continue
            case 1:
                at = chance.randrange(4, header_end)
                data[at] ^= 1 << chance.randrange(8)
                what = f"bit in byte {at}"
            case 2:
                at, value = chance.randrange(4, 24), chance.choice(_NUMBERS)
                struct.pack_into("<I", data, at, value & 0xFFFFFFFF)
                what = f"{value} at {at}"
            case 3 | 4:
                key, value = chance.choice(keys), chance.choice(_NUMBERS)
                at = whole.index(key) + len(key) + chance.choice([0, 4, 4, 4, 8])
                struct.pack_into("<I", data, at, value & 0xFFFFFFFF)
                what = f"{key.decode()}: {value} at {at}"
            case _:
                at = chance.choice(tensors) + len(b".weight") + chance.choice([0, 4, 8, 12, 20, 24])
                value = chance.choice(_NUMBERS)
                struct.pack_into("<Q", data, at, value)
                what = f"tensor: {value} at {at}"
        yield what, bytes(data)


def _header_end(data: bytes) -> int:
    """About where the tensors' data begin."""
    return data.rindex(b".weight") + 40


def _each(data: bytes, part: bytes) -> Iterator[int]:
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + 1)


async def load(path: Path) -> str:
    """Load a model and generate a token; tells how that ended."""
    from kronk_agent.engine.engine import Engine, EngineParams
    from kronk_agent.errors import KronkError
    from kronk_agent.settings import SamplingParams

    try:
        async with await Engine.open(path, EngineParams(context_length=256, threads=1)) as engine:
            async for _ in engine.generate([1, 2], sampling=SamplingParams(), max_tokens=2):
                pass
    except KronkError as error:
        return f"refused: {error}"
    return "answered"


def _try_all(base: Path, number: int) -> int:
    ended: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.gguf"
        for what, data in mutants(base.read_bytes(), number):
            path.write_bytes(data)
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "attack.gguf", "--one", str(path)],
                    capture_output=True,
                    text=True,
                    timeout=LONGEST_SECONDS * 3,  # the machine may be busy
                    check=False,
                )
                outcome = (
                    done.stdout.partition(":")[0].strip() if not done.returncode else "ABORTED"
                )
            except subprocess.TimeoutExpired:
                outcome = "HUNG"
            ended[outcome] += 1
            if outcome not in ("refused", "answered"):
                print(f"{outcome}: {what}", flush=True)
    print(f"{number} files:", dict(ended))
    return ended["ABORTED"] + ended["HUNG"]


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        for path in sys.argv[2:]:
            print(anyio.run(load, Path(path)), flush=True)
    else:
        sys.exit(_try_all(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300) > 0)
