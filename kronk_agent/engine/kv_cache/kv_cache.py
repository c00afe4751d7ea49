"""A context's KV memory by sequence ids: copying, dropping, saving and restoring."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.llama.binding import ContextHandle, llama
from kronk_agent.errors import EngineError

_END = -1
"""As a position: to the very end."""


class KVCache:
    """What ``llama_memory_*`` and ``llama_state_seq_*`` do, in our words.

    Args:
        context: the one whose memory it is.
        is_unified: does a cell belong to any number of sequences? Then sharing a prefix costs a few
            bytes of bookkeeping. Else every id has cells of its own, and sharing is copying: about
            2 ms for 1,500 tokens of a small model.
    """

    def __init__(self, context: ContextHandle, *, is_unified: bool) -> None:
        self.is_unified = is_unified
        self._scratch = np.empty(0, np.uint8)
        """For states on their way from one id to another. Kept, as new memory takes ten times as
        long to write to as memory that was used before."""
        self._context = context
        self._memory = llama.llama_get_memory(context)

    def share(self, source: int, target: int, start: int, end: int) -> None:
        """Give ``target`` the cells of ``source`` at positions ``start`` to ``end`` too. For a
        unified memory."""
        llama.llama_memory_seq_cp(self._memory, source, target, start, end)

    def copy(self, source: int, target: int, length: int) -> bool:
        """Give ``target``, which has nothing, the first ``length`` positions of ``source``. False
        where there is no memory to do it."""
        if self.is_unified:
            self.share(source, target, 0, length)
            return True
        # llama.cpp copies between memories too, but only whole ones, used or not.
        states = self._read_states([source])
        return states is not None and self.restore(target, *states) and self.drop(target, length)

    def swap(self, one: int, other: int) -> bool:
        """Give two ids what the other has, each in a memory of its own. False, with nothing done,
        where there is no memory to do it.

        Raises:
            EngineError: what was read could not be written.
        """
        moves = [move for move in ((one, other), (other, one)) if self.last_position(move[0]) >= 0]
        states = self._read_states([source for source, _ in moves])
        if states is None:
            return False
        for source, _ in moves:
            self.drop(source)
        for (_, target), state in zip(moves, states, strict=True):
            if not self.restore(target, state):
                raise EngineError(f"the KV memory of sequence {target} cannot be written")
        return True

    def drop(self, id: int, start: int = 0, end: int = _END) -> bool:
        """Take cells from a sequence, all by default. False, with nothing done, where the model
        cannot drop a part."""
        return bool(llama.llama_memory_seq_rm(self._memory, id, start, end))

    def clear(self) -> None:
        """Forget all sequences."""
        llama.llama_memory_clear(self._memory, True)

    def last_position(self, id: int) -> int:
        """The highest position of a sequence; -1 where it has none."""
        return int(llama.llama_memory_seq_pos_max(self._memory, id))

    def save(self, id: int) -> NDArray[np.uint8] | None:
        """A sequence's state in llama.cpp's own format; None where it cannot be had."""
        size = llama.llama_state_seq_get_size(self._context, id)
        try:
            state = np.empty(size, np.uint8)
        except MemoryError:
            return None
        return state if self._read(id, state) else None

    def restore(self, id: int, state: NDArray[np.uint8]) -> bool:
        """Put a saved state under an id that has nothing. False where there is no room for it."""
        if llama.llama_state_seq_set_data(self._context, _bytes(state), len(state), id):
            return True
        self.drop(id)
        return False

    def _read_states(self, ids: Sequence[int]) -> list[NDArray[np.uint8]] | None:
        """What these have, as long as nothing else is asked for; None where there is no memory for
        it."""
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
