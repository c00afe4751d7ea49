"""Batch of rows for ``llama_decode``."""

from __future__ import annotations

import ctypes
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.llama.binding import llama

_C = TypeVar("_C")


class Batch:
    """Rows of (token, position, sequence id) in numpy buffers.

    Rows are added by slice assignment: setting the fields of a ``llama_batch`` one ctypes attribute
    at a time would cost more than sampling does.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequence_ids = np.zeros(capacity, np.int32)
        self._wants_logits = np.zeros(capacity, np.int8)
        self._counts = np.ones(capacity, np.int32)
        # llama.cpp expects, for each row, a pointer to its list of sequence ids.
        addresses = self._sequence_ids.ctypes.data + 4 * np.arange(capacity)
        self._addresses = addresses.astype(np.uint64)
        self._arange = np.arange(capacity, dtype=np.int32)
        int32 = ctypes.c_int32
        self.native = llama.llama_batch(
            n_tokens=0,
            token=_pointer(self._tokens, int32),
            embd=None,
            pos=_pointer(self._positions, int32),
            n_seq_id=_pointer(self._counts, int32),
            seq_id=_pointer(self._addresses, ctypes.POINTER(int32)),
            logits=_pointer(self._wants_logits, ctypes.c_int8),
        )

    @property
    def room(self) -> int:
        """Rows that can still be added."""
        return self.capacity - self.size

    def clear(self) -> None:
        """Remove all rows."""
        self.size = 0
        self.native.n_tokens = 0

    def add(
        self, tokens: NDArray[np.int32], *, position: int, sequence_id: int, num_logits: int
    ) -> int:
        """Add rows of one sequence, starting at ``position``; returns the index of the first row.

        The last ``num_logits`` of these rows will have logits.
        """
        start, end = self.size, self.size + len(tokens)
        self._tokens[start:end] = tokens
        np.add(self._arange[: end - start], position, out=self._positions[start:end])
        self._sequence_ids[start:end] = sequence_id
        self._wants_logits[start : end - num_logits] = 0
        self._wants_logits[end - num_logits : end] = 1
        self.size = self.native.n_tokens = end
        return start


def _pointer(array: NDArray[np.generic], kind: type[_C]) -> ctypes._Pointer[_C]:  # type: ignore[type-var]
    return array.ctypes.data_as(ctypes.POINTER(kind))  # type: ignore[type-var]
