"""Who holds what in the KV memory, and what of it can be used again.

The memory is unified: a cell belongs to any number of sequences, so sharing a prefix costs a few
bytes of bookkeeping (``llama_memory_seq_cp``) and no copy. A finished sequence keeps its cells
under its id until the room or the id is wanted; the least recently used goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.binding import Context, llama
from kronk_agent.engine.sequence import Sequence

_WHOLE = -1
"""As a position: from the very beginning, or to the very end."""


def common_prefix_length(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """How many tokens two token arrays share from their beginnings."""
    length = min(len(a), len(b))
    different = a[:length] != b[:length]
    first = int(different.argmax()) if length else 0
    return first if length and different[first] else length


class PrefixCache:
    """The sequence ids of one context. Used by the worker thread only."""

    def __init__(self, context: Context, *, num_ids: int, can_share: bool) -> None:
        self._memory = llama.llama_get_memory(context)
        self._free = list(range(num_ids))[::-1]
        self._finished: OrderedDict[int, NDArray[np.int32]] = OrderedDict()
        """Tokens of finished sequences that are still in memory, least recently used first."""
        self.can_share = can_share
        """False for recurrent models, whose memory of a prefix cannot be kept without the rest."""

    def admit(self, sequence: Sequence, running: Iterable[Sequence]) -> None:
        """Give the sequence an id, with the longest prefix there is already in its memory."""
        donor, length = self._longest_prefix(sequence, running) if self.can_share else (None, 0)
        tokens = self._finished.get(donor) if donor is not None else None
        if tokens is not None and len(tokens) == length:
            # A conversation goes on: the finished turn's id is taken over whole.
            del self._finished[donor]  # type: ignore[arg-type]
            sequence.id = donor
        else:
            if tokens is not None and donor is not None:
                self._finished.move_to_end(donor)
            sequence.id = self._free_id(keep=donor)
            if donor is not None:
                llama.llama_memory_seq_cp(self._memory, donor, sequence.id, 0, length)
        sequence.num_computed = length

    def finish(self, sequence: Sequence) -> None:
        """The sequence needs its id no more; its cells stay for others to use."""
        if sequence.id is None:
            return
        if self.can_share and sequence.num_computed:
            self._finished[sequence.id] = sequence.computed.copy()
        else:
            self._release(sequence.id)
        sequence.id = None

    def preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's cells away; it will be computed again when it is admitted."""
        assert sequence.id is not None
        self._release(sequence.id)
        sequence.id, sequence.num_computed = None, 0

    def evict(self) -> bool:
        """Drop the least recently used finished sequence; False when there is none."""
        if not self._finished:
            return False
        oldest, _ = self._finished.popitem(last=False)
        self._release(oldest)
        return True

    def clear(self) -> None:
        """Forget everything, after a fault that left the memory in an unknown state."""
        llama.llama_memory_clear(self._memory, True)
        self._free.extend(self._finished)
        self._finished.clear()

    def _longest_prefix(
        self, sequence: Sequence, running: Iterable[Sequence]
    ) -> tuple[int | None, int]:
        best: tuple[int | None, int] = (None, 0)
        resident = [(other.id, other.computed) for other in running if other.id is not None]
        for id, tokens in [*resident, *self._finished.items()]:
            length = common_prefix_length(tokens, sequence.prefix)
            if length > best[1]:
                best = (id, length)
        return best

    def _free_id(self, keep: int | None) -> int:
        if not self._free:
            oldest = next(id for id in self._finished if id != keep)
            del self._finished[oldest]
            self._release(oldest)
        return self._free.pop()

    def _release(self, id: int) -> None:
        llama.llama_memory_seq_rm(self._memory, id, _WHOLE, _WHOLE)
        self._free.append(id)
