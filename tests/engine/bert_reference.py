"""BERT's forward pass in numpy, read from the same GGUF file, to hold llama.cpp's pooling to."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

_HEADS = 2


class BertReference:
    """Devlin et al. 2018, as llama.cpp's bert.cpp lays the tensors out."""

    def __init__(self, path: Path) -> None:
        tensors = gguf.GGUFReader(path).tensors
        self._weights = {tensor.name: np.array(tensor.data, np.float64) for tensor in tensors}

    def hidden(self, tokens: list[int]) -> NDArray[np.float64]:
        """The last layer's output, shape (tokens, width)."""
        x = self._weights["token_embd.weight"][tokens] + self._weights["token_types.weight"][0]
        x = self._norm(x + self._weights["position_embd.weight"][: len(tokens)], "token_embd_norm")
        for layer in range(2):
            block = f"blk.{layer}"
            attended = self._linear(self._attend(x, block), f"{block}.attn_output")
            x = self._norm(x + attended, f"{block}.attn_output_norm")
            inner = _gelu(self._linear(x, f"{block}.ffn_up"))
            x = self._norm(
                x + self._linear(inner, f"{block}.ffn_down"), f"{block}.layer_output_norm"
            )
        return x

    def score(self, tokens: list[int]) -> float:
        """The ranking head's output."""
        pooled = np.tanh(self._linear(self.hidden(tokens)[0], "cls"))
        return float(self._linear(pooled, "cls.output")[0])

    def _attend(self, x: NDArray[np.float64], block: str) -> NDArray[np.float64]:
        q, k, v = (
            self._linear(x, f"{block}.attn_{name}").reshape(len(x), _HEADS, -1).swapaxes(0, 1)
            for name in "qkv"
        )
        weights = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed: NDArray[np.float64] = (weights @ v).swapaxes(0, 1).reshape(len(x), -1)
        return mixed

    def _linear(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        moved: NDArray[np.float64] = (
            scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        )
        return moved


def _gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the approximation that ggml uses."""
    curve: NDArray[np.float64] = (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * x * (1 + 0.044715 * x * x)))
    )
    return curve
