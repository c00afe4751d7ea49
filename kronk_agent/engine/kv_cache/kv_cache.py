"""A context's KV cache by sequence id: copy, drop, save and restore."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.llama.binding import ContextHandle, llama
from kronk_agent.errors import EngineError

_END = -1
"""Position argument that means the end of the sequence."""


class KVCache:
    """Wraps ``llama_memory_*`` and ``llama_state_seq_*``.

    Args:
        context: the llama.cpp context whose KV cache this is.
        is_unified: True if a cell can belong to any number of sequences; sharing a prefix then
            costs a few bytes of bookkeeping. False if every id has cells of its own; sharing is
            then copying, about 2 ms for 1,500 tokens of a small model.
    """

    def __init__(self, context: ContextHandle, *, is_unified: bool) -> None:
        self.is_unified = is_unified
        self._scratch = np.empty(0, np.uint8)
        """Buffer for states copied between ids. Kept between calls: writing to new memory takes ten
        times as long as to memory used before."""
        self._context = context
        self._memory = llama.llama_get_memory(context)

    def share(self, source: int, target: int, start: int, end: int) -> None:
        """Add the cells of ``source`` at positions ``start`` to ``end`` to ``target``.

        Only for a unified KV cache.
        """
        llama.llama_memory_seq_cp(self._memory, source, target, start, end)

    def copy(self, source: int, target: int, length: int) -> bool:
        """Copy the first ``length`` positions of ``source`` to ``target``, which must be empty.

        Returns False if memory is short.
        """
        if self.is_unified:
            self.share(source, target, 0, length)
            return True
        # llama.cpp copies between separate KV caches too, but only all cells, used or not.
        states = self._read_states([source])
        return states is not None and self.restore(target, *states) and self.drop(target, length)

    def swap(self, one: int, other: int) -> bool:
        """Exchange the cells of two ids that have KV caches of their own.

        Returns False, having changed nothing, if memory is short.

        Raises:
            EngineError: a state that was read cannot be written.
        """
        moves = [move for move in ((one, other), (other, one)) if self.last_position(move[0]) >= 0]
        states = self._read_states([source for source, _ in moves])
        if states is None:
            return False
        for source, _ in moves:
            self.drop(source)
        for (_, target), state in zip(moves, states, strict=True):
            if not self.restore(target, state):
                raise EngineError(f"cannot write the KV cache of sequence {target}")
        return True

    def drop(self, id: int, start: int = 0, end: int = _END) -> bool:
        """Remove the cells of a sequence at positions ``start`` to ``end``; by default all.

        Returns False, having changed nothing, if the model does not support partial removal.
        """
        return bool(llama.llama_memory_seq_rm(self._memory, id, start, end))

    def clear(self) -> None:
        """Remove all sequences."""
        llama.llama_memory_clear(self._memory, True)

    def last_position(self, id: int) -> int:
        """Highest position of a sequence; -1 if it is empty."""
        return int(llama.llama_memory_seq_pos_max(self._memory, id))

    def save(self, id: int) -> NDArray[np.uint8] | None:
        """State of a sequence in llama.cpp's format; None if it cannot be read."""
        size = llama.llama_state_seq_get_size(self._context, id)
        try:
            state = np.empty(size, np.uint8)
        except MemoryError:
            return None
        return state if self._read(id, state) else None

    def restore(self, id: int, state: NDArray[np.uint8]) -> bool:
        """Load a saved state into an empty id. Returns False if it does not fit."""
        if llama.llama_state_seq_set_data(self._context, _bytes(state), len(state), id):
            return True
        self.drop(id)
        return False

    def _read_states(self, ids: Sequence[int]) -> list[NDArray[np.uint8]] | None:
        """States of these ids, valid until the next call; None if memory is short."""
        sizes = [llama.llama_state_seq_get_size(self._context, id) for id in ids]
        if sum(sizes) > len(self._scratch):
            try:
                self._scratch = np.empty(sum(sizes), np.uint8)
            except MemoryError:
                return None
        states = np.split(self._scratch[: sum(sizes)], np.cumsum(sizes[:-1]))
        return states if all(map(self._read, ids, states)) else None

    def _read(self, id: int, state: NDArray[np.uint8]) -> bool:
        size = len(state)
        return bool(llama.llama_state_seq_get_data(self._context, _bytes(state), size, id) == size)


def _bytes(array: NDArray[np.uint8]) -> ctypes._Pointer[ctypes.c_uint8]:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
