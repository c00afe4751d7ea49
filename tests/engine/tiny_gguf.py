"""Tiny GGUF files with random weights, written in an instant, to test what real models are too
large for. The same seed gives the same file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray


def write_lora(
    path: Path, *, tensor: str, shape: tuple[int, int], architecture: str = "llama", rank: int = 4
) -> Path:
    """A LoRA adapter for one tensor of a model, whose weight has the shape (rows, columns)."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    rows, columns = shape
    writer.add_tensor(f"{tensor}.lora_a", _normal(rng, rank, columns))
    writer.add_tensor(f"{tensor}.lora_b", _normal(rng, rows, rank))
    return _finish(writer, path)


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def _finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
