"""Who holds what in the KV memory, and what of it can be used again.

Where the memory is unified, a cell belongs to any number of sequences, and sharing a prefix costs a
few bytes of bookkeeping and no copy; else it is copied from one id's memory to another's. A
finished sequence keeps its cells under its id until the cells or the id are wanted; then the least
recently used goes first, to host memory where there is room. Prompts share only under the same salt
(``CacheKey``), so that no caller can tell from its counts or its time what another has asked.

Recurrent and hybrid models, and those whose sliding window is pruned, cannot keep a part of a
sequence's memory. With these only whole states are shared, which are saved at the boundaries of
turns and where two prompts were seen to part.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.kv_cache import KVCache
from kronk_agent.engine.kv_cache.radix_tree import CacheKey, RadixTree
from kronk_agent.engine.kv_cache.state_files import StateFiles, is_sound
from kronk_agent.engine.kv_cache.state_store import SavedState, StateStore
from kronk_agent.engine.sequence import Sequence

logger = logging.getLogger(__name__)

_MIN_TOKENS_TO_SAVE = 64
"""Tokens from which on a state is saved: fewer are computed again almost as fast."""

_MIN_TOKENS_TO_RESTORE = 16
"""Tokens a saved state must be ahead of what is in the KV memory."""

_MIN_TOKENS_TO_WAIT_FOR = 16
"""Tokens another prompt must be about to compute for us before waiting for it pays."""

_MAX_COPIED_PER_TOKEN_SAVED = 64
"""Tokens that may be moved for each that need not be computed then, where ids have memories of
their own: llama.cpp reads only the whole of one. On a CPU to compute one takes as long as to move
60 by way of memory that was never used, or 1,000 by way of memory that was."""

_MAX_IDLE_CELLS = 2048
"""Cells that finished sequences may keep for themselves where there is host memory for them. On a
CPU every row of a batch passes over every used cell: 6,000 idle ones cost a single stream a sixth
of its speed, and to restore 1,500 takes 2 ms."""


_MAX_MOVED_PER_GAP_STEP = 512
"""So many tokens are moved for each step that had gaps between its ids: 1,500 take about 5 ms, and
a step with gaps takes about as much longer."""


@dataclass(slots=True)
class CacheCounters:
    """What the prefix cache did since the engine was opened."""

    hits: int = 0
    """Sequences that found a part of their prompt computed already."""
    misses: int = 0
    hit_tokens: int = 0
    """Prompt tokens that did not have to be computed."""
    queried_tokens: int = 0
    """Prompt tokens that had to be."""
    evictions: int = 0
    """Finished sequences that lost their cells to others."""
    offloads: int = 0
    """States saved to host memory."""
    restores: int = 0
    """States put back from there."""


class PrefixCache:
    """The sequence ids of one context. Used by the worker thread only.

    Args:
        memory: the context's.
        store: where states go that are evicted, or saved for a model that shares only whole ones.
        num_ids: sequence ids the context was made with.
        requires_full_state: True where only whole states can be shared (recurrent, hybrid, SWA).
        files: where states of the store come from that are mapped from files.
    """

    def __init__(
        self,
        memory: KVCache,
        store: StateStore,
        *,
        num_ids: int,
        requires_full_state: bool,
        files: StateFiles | None = None,
    ) -> None:
        self.counters = CacheCounters()
        self._memory = memory
        self._store = store
        self._files = files
        self._requires_full_state = requires_full_state
        self._num_ids = num_ids
        self._free = list(range(num_ids))
        """A heap: low ids are given first, so that those in use are next to each other. llama.cpp
        computes rows of memories of their own together only where their ids are consecutive."""
        self._tree: RadixTree[int] = RadixTree()
        """Every token of the finished sequences, and of the running ones what they were given
        and what nobody else had when they computed it. Each run of it has cells of its own where
        the memory is unified; else each holder has."""
        self._finished: OrderedDict[int, None] = OrderedDict()
        """Ids of finished sequences that are still in memory, least recently used first."""
        self._steps_with_gaps = 0
        self._pinned: dict[int, int] = {}
        """Ids that are not to be evicted, by pin."""

    @property
    def num_cached_sequences(self) -> int:
        """Sequences in the KV memory that nobody runs."""
        return len(self._finished) + len(self._pinned)

    @property
    def is_unified(self) -> bool:
        """Do all ids share one memory?"""
        return self._memory.is_unified

    @property
    def supports_partial_removal(self) -> bool:
        """Can the end of a sequence be taken back?"""
        return not self._requires_full_state

    def num_cells(self, running: Iterable[Sequence]) -> int:
        """Cells in use."""
        running = [sequence for sequence in running if sequence.id is not None]
        if not self._memory.is_unified:
            idle = sum(map(self._tree.length, [*self._finished, *self._pinned.values()]))
            return idle + sum(sequence.num_computed for sequence in running)
        return self._tree.num_tokens + sum(
            sequence.num_computed - self._tree.length(sequence.id)
            for sequence in running
            if sequence.id is not None
        )

    # --- a sequence's life ------------------------------------------------------------------

    def should_wait_for_prefix(self, sequence: Sequence, running: Iterable[Sequence]) -> bool:
        """Is a running sequence about to compute a prefix that this one can then share?"""
        if self._requires_full_state and not self._store.limit_bytes:
            return False
        cached = self._tree.match_prefix(sequence.prefix)[0]
        for other in running:
            shared = sequence.prefix.common_length(other.key(other.num_to_prefill))
            if shared >= max(other.num_computed, cached) + _MIN_TOKENS_TO_WAIT_FOR:
                if self._requires_full_state:
                    other.checkpoints.add(shared)
                return True
        return False

    def admit(self, sequence: Sequence, running: Iterable[Sequence]) -> None:
        """Give the sequence an id, with the longest prefix there is already in its memory."""
        if self._requires_full_state:
            self._admit_with_full_state(sequence)
        else:
            self._admit_with_shared_prefix(sequence, running)
        if sequence.is_new:
            self._count_lookup(sequence)

    def compact_sequence_ids(self, running: Iterable[Sequence]) -> None:
        """Move running sequences so that their ids are next to each other.

        Of memories of their own llama.cpp computes rows together only where the ids rise by one:
        with gaps a step takes up to twice as long. A gap may be that of a conversation whose next
        turn is about to come, so it has to last, the longer the more there is to move.
        """
        if self._memory.is_unified or self._requires_full_state:
            return
        by_id = {sequence.id: sequence for sequence in running if sequence.id is not None}
        if not by_id or max(by_id) - min(by_id) < len(by_id):
            self._steps_with_gaps = 0
            return
        self._steps_with_gaps += 1
        starts = range(self._num_ids - len(by_id) + 1)
        target_ids = max(
            (range(start, start + len(by_id)) for start in starts),
            key=lambda ids: sum(id in ids for id in by_id),
        )
        gaps = [id for id in target_ids if id not in by_id]
        outside = [sequence for id, sequence in by_id.items() if id not in target_ids]
        num_tokens = sum(sequence.num_computed for sequence in outside)
        num_tokens += sum(map(self._tree.length, gaps))
        if num_tokens > self._steps_with_gaps * _MAX_MOVED_PER_GAP_STEP:
            return
        for sequence, gap in zip(outside, gaps, strict=True):
            assert sequence.id is not None
            if self._swap(sequence.id, gap):
                sequence.id = gap

    def finish(self, sequence: Sequence) -> None:
        """The sequence needs its id no more; its cells stay for others to use."""
        id = sequence.id
        if id is None:
            return
        sequence.id = None
        if self._requires_full_state:
            self._save(id, sequence.computed, pinned=sequence.pin is not None)
            self._release(id)
            return
        key = sequence.computed
        self._memory.drop(id, len(key))  # what was drafted when it failed
        is_held_elsewhere = not len(key) or self._tree.contains(key, besides=id)
        if is_held_elsewhere and sequence.pin is None:
            self._release(id)
            return
        self._share_cells(id, key)
        self._tree.extend(id, key)
        if sequence.pin is None:
            self._finished[id] = None
            self._trim_idle_cells()
        else:
            self._pinned[sequence.pin] = id

    def preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's cells away; when it is admitted again it gets them back from
        host memory, or computes them once more."""
        assert sequence.id is not None
        self._save(sequence.id, sequence.computed)
        self._release(sequence.id)
        sequence.id, sequence.num_computed = None, 0

    def truncate(self, sequence: Sequence, length: int) -> None:
        """Take back what a running sequence has in memory beyond so many tokens."""
        assert sequence.id is not None
        self._memory.drop(sequence.id, length)

    def checkpoint(self, sequence: Sequence) -> None:
        """Save the state of a running sequence if it is at a place where that was asked for."""
        if sequence.num_computed in sequence.checkpoints and sequence.id is not None:
            sequence.checkpoints.discard(sequence.num_computed)
            self._save(sequence.id, sequence.computed)

    def unpin(self, pin: int, tokens: Many[int]) -> None:
        """Let what was pinned be evicted like the rest."""
        self._store.unpin(CacheKey(np.asarray(tokens, np.int32)))
        id = self._pinned.pop(pin, None)
        if id is not None:
            self._finished[id] = None

    def evict(self, *, even_pinned: bool = False) -> bool:
        """Drop the least recently used finished sequence; False when there is none."""
        if self._finished:
            self._evict(next(iter(self._finished)))
            return True
        if even_pinned and self._pinned:
            self._evict(next(iter(self._pinned.values())))
            return True
        return False

    def export_state(self, key: CacheKey, *, at_least: int) -> tuple[int, NDArray[np.uint8]] | None:
        """The number of leading tokens that are computed, and the state after exactly these.

        None where they are fewer than ``at_least``, or no id or memory is free to copy it.
        """
        if self._requires_full_state:
            length, saved = self._store.find(key)
            return None if saved is None or length < at_least else (length, saved.state)
        length, source = self._tree.match_prefix(key)
        if source is None or length < at_least or not self._free:
            return None
        id = heappop(self._free)
        try:
            is_copied = self._memory.copy(source, id, length)
            state = self._memory.save(id) if is_copied else None
            return None if state is None else (length, state)
        finally:
            self._memory.drop(id)
            heappush(self._free, id)

    def save_all(self) -> None:
        """Save what is in the KV memory, before the engine closes."""
        for id in [*self._finished, *self._pinned.values()]:
            self._save(id, self._tree.key_of(id))

    def clear(self) -> None:
        """Forget everything in the KV memory, after a fault that left it in an unknown state."""
        self._memory.clear()
        self._free = list(range(self._num_ids))
        self._tree = RadixTree()
        self._finished.clear()
        self._pinned.clear()

    def check(self, running: Iterable[Sequence]) -> None:
        """Assert that our books and llama.cpp's agree. For tests: it asks for every id."""
        active = {s.id: s.num_computed for s in running if s.id is not None}
        idle = {id: self._tree.length(id) for id in [*self._finished, *self._pinned.values()]}
        nothing = dict.fromkeys(self._free, 0)
        books = active | idle | nothing
        assert len(books) == len(active) + len(idle) + len(nothing) == self._num_ids
        assert self._tree.owners <= active.keys() | idle.keys()
        memory = {id: self._memory.last_position(id) + 1 for id in books}
        assert memory == books, f"KV memory {memory}, books {books}"

    # --- models that can share a part -------------------------------------------------------

    def _admit_with_shared_prefix(self, sequence: Sequence, running: Iterable[Sequence]) -> None:
        for other in running:
            if other.id is not None:
                self._tree.extend(other.id, other.computed, onto_others=False)
        prefix = sequence.prefix
        length, source = self._find_source(prefix)
        saved_length, saved = self._store.find(prefix)
        if saved is not None and saved_length >= length + _MIN_TOKENS_TO_RESTORE:
            id = self._restore(saved, keep=source)
            if id is not None:
                self._memory.drop(id, saved_length)
                self._share_cells(id, prefix.prefix(saved_length))
                self._assign(sequence, id, saved_length)
                return
            length, source = self._find_source(prefix)  # trying may have evicted it
        if source is None:
            self._assign(sequence, self._take_free_id(keep=None), 0)
        elif source in self._finished and self._can_take_over(source, length):
            # A conversation goes on: the finished turn's id is taken over.
            del self._finished[source]
            if self._tree.length(source) > length:
                self._memory.drop(source, length)
                self._tree.remove(source)
            self._assign(sequence, source, length)
        else:
            if source in self._finished:
                self._finished.move_to_end(source)
            id = self._take_free_id(keep=source)
            length, source = self._find_source(prefix)  # it may have been the only one to evict
            if source is not None and not self._memory.copy(source, id, length):
                length = 0
            self._assign(sequence, id, length)

    def _find_source(self, prefix: CacheKey) -> tuple[int, int | None]:
        """How much of a prefix is in memory, and who has it; 0 and None where it is not worth
        moving."""
        length, source = self._tree.match_prefix(prefix)
        if source is None or self._memory.is_unified:
            return length, source
        num_moved = self._memory.last_position(source) + 1
        is_worthwhile = num_moved <= length * _MAX_COPIED_PER_TOKEN_SAVED
        return (length, source) if is_worthwhile else (0, None)

    def _can_take_over(self, source: int, length: int) -> bool:
        """Is what the donor has beyond ``length`` nothing, or cheaper to lose than to copy the
        rest?"""
        lost = self._tree.length(source) - length
        return lost == 0 or (not self._memory.is_unified and lost < _MIN_TOKENS_TO_SAVE)

    def _assign(self, sequence: Sequence, id: int, length: int) -> None:
        self._tree.extend(id, sequence.key(length))
        sequence.id, sequence.num_computed = id, length

    def _share_cells(self, id: int, key: CacheKey) -> None:
        """Where others have the same tokens, give back the sequence's own cells for theirs."""
        if not self._memory.is_unified:
            return
        start = self._tree.length(id)
        shared, other = self._tree.match_prefix(key)
        if other is not None and shared > start:
            self._memory.drop(id, start, shared)
            self._memory.share(other, id, start, shared)

    # --- models that can share only whole states --------------------------------------------

    def _admit_with_full_state(self, sequence: Sequence) -> None:
        prefix = sequence.prefix
        length, saved = self._store.find(prefix)
        id = None if saved is None else self._restore(saved, keep=None)
        if id is None:
            id, length = self._take_free_id(keep=None), 0
        diverges_at = self._store.common_length(prefix)
        if diverges_at >= length + _MIN_TOKENS_TO_SAVE:
            sequence.checkpoints.add(diverges_at)
        if len(prefix) >= length + _MIN_TOKENS_TO_SAVE:
            sequence.checkpoints.add(len(prefix))
        sequence.id, sequence.num_computed = id, length

    # --- ids and states ---------------------------------------------------------------------

    def _count_lookup(self, sequence: Sequence) -> None:
        counters = self.counters
        if sequence.num_computed:
            counters.hits += 1
        else:
            counters.misses += 1
        counters.hit_tokens += sequence.num_computed
        counters.queried_tokens += sequence.num_tokens

    def _save(self, id: int, key: CacheKey, *, pinned: bool = False) -> None:
        if len(key) < _MIN_TOKENS_TO_SAVE:
            return
        state = self._memory.save(id)
        if state is not None and self._store.put(SavedState(key.copy(), state), pinned=pinned):
            self.counters.offloads += 1

    def _restore(self, saved: SavedState, *, keep: int | None) -> int | None:
        """An id with the saved state in it; None where it is damaged or has no room."""
        if not self._store.use(saved, is_sound):
            self._discard_damaged(saved)
            return None
        id = self._take_free_id(keep=keep)
        while not self._memory.restore(id, saved.state):
            others = (other for other in self._finished if other != keep)
            oldest = next(others, None)
            if oldest is None:
                heappush(self._free, id)
                self._forget_unusable(saved)
                return None
            self._evict(oldest)
        self.counters.restores += 1
        if self._files is not None:
            self._files.mark_used(saved)
        return id

    def _forget_unusable(self, saved: SavedState) -> None:
        """Forget a state from a file that an empty memory does not take: it would never fit."""
        if saved.path is not None and len(self._free) == self._num_ids:
            self._store.remove(saved)
            logger.warning("%s: llama.cpp does not take this saved prompt", saved.path)

    def _discard_damaged(self, saved: SavedState) -> None:
        logger.warning("%s: this saved prompt is damaged and is removed", saved.path)
        if self._files is not None:
            self._files.remove(saved)

    def _swap(self, one: int, other: int) -> bool:
        """Let two ids be each other, whatever they are. False where there is no memory to do it."""
        if not self._memory.swap(one, other):
            return False
        self._tree.swap(one, other)
        swapped = {one: other, other: one}
        self._free = [swapped.get(id, id) for id in self._free]
        heapify(self._free)
        self._finished = OrderedDict.fromkeys(swapped.get(id, id) for id in self._finished)
        self._pinned = {pin: swapped.get(id, id) for pin, id in self._pinned.items()}
        return True

    def _evict(self, id: int) -> None:
        """Move an idle sequence out; a pinned one stays pinned where it goes to."""
        pin = next((pin for pin, pinned in self._pinned.items() if pinned == id), None)
        if pin is not None or self._tree.private_length(id) >= _MIN_TOKENS_TO_SAVE:
            self._save(id, self._tree.key_of(id), pinned=pin is not None)
        if pin is None:
            del self._finished[id]
        else:
            del self._pinned[pin]
        self.counters.evictions += 1
        self._release(id)

    def _trim_idle_cells(self) -> None:
        """Move finished sequences to host memory, the least recently used first, but not the
        latest, until few cells are idle. Those in a memory of their own are in nobody's way."""
        if not self._memory.is_unified:
            return
        idle = {id: self._tree.private_length(id) for id in self._finished}
        num_idle = sum(idle.values())
        for id in list(self._finished)[:-1]:
            if num_idle <= _MAX_IDLE_CELLS or not self._store.limit_bytes:
                return
            if idle[id]:
                num_idle -= idle[id]
                self._evict(id)

    def _take_free_id(self, keep: int | None) -> int:
        """An id that nobody has; ``keep`` is evicted for it only where there is no other.

        Where every id has a memory of its own, it is next to those at work, and a conversation that
        rests there moves: to be moved later takes longer, and until then every step does.
        """
        if not self._free:
            idle = [*self._finished, *self._pinned.values()]
            self._evict(next((id for id in idle if id != keep), idle[0]))
        if self._memory.is_unified or self._requires_full_state:
            return heappop(self._free)
        for id in self._ids_near_active():
            if id in self._free or (id != keep and self._swap(id, self._free[0])):
                self._free.remove(id)
                heapify(self._free)
                return id
        return heappop(self._free)

    def _ids_near_active(self) -> list[int]:
        """Ids that nobody runs under among those at work and beside them, gaps first."""
        idle = {*self._free, *self._finished, *self._pinned.values()}
        active = [id for id in range(self._num_ids) if id not in idle]
        if not active:
            return []
        first, last = active[0], active[-1]
        gaps = [id for id in range(first, last) if id in idle]
        adjacent = [id for id in (first - 1, last + 1) if id in idle]
        return [*gaps, *sorted(adjacent, key=lambda id: id not in self._free)]

    def _release(self, id: int) -> None:
        self._tree.remove(id)
        self._memory.drop(id)
        heappush(self._free, id)
