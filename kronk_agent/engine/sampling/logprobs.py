"""Logprobs of tokens, from the raw logits before any sampler or grammar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenIdLogprob:
    """A token id with its logprob and the likeliest alternatives."""

    token: int
    logprob: float
    """Natural logarithm of the token's probability; -inf if that is 0."""
    top: tuple[tuple[int, float], ...]
    """Likeliest token ids at this position with their logprobs, likeliest first."""


class RowLogprobs:
    """Token distribution of one row; a copy, as sampling changes the logits.

    Args:
        logits: logits of the row; not changed.
        num_top: number of likeliest tokens to keep.
    """

    def __init__(self, logits: NDArray[np.float32], num_top: int) -> None:
        highest = logits.max()
        self._logits = logits.copy()
        # log-softmax: log(exp(x) / Σ exp) = x - max - log Σ exp(x - max)
        self._norm = float(highest) + float(np.log(np.exp(logits - highest).sum(dtype=np.float64)))
        self._top = self._find_top(num_top)

    def of(self, token: int) -> TokenIdLogprob:
        """Logprob of a token, with the likeliest alternatives."""
        return TokenIdLogprob(token, self._logprob(token), self._top)

    def _find_top(self, number: int) -> tuple[tuple[int, float], ...]:
        if number == 0:
            return ()
        likeliest = np.argpartition(self._logits, -number)[-number:]
        likeliest = likeliest[np.argsort(-self._logits[likeliest], kind="stable")]
        return tuple((token, self._logprob(token)) for token in likeliest.tolist())

    def _logprob(self, token: int) -> float:
        return float(self._logits[token]) - self._norm
