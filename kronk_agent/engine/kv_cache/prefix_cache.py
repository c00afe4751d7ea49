"""Prefix cache: which sequence ids hold which tokens in the KV cache, and their reuse.

In a unified KV cache a cell belongs to any number of sequences, and sharing a prefix costs a few
bytes of bookkeeping and no copy; otherwise the prefix is copied to the other id's KV cache. A
finished sequence keeps its cells under its id until the cells or the id are needed; the least
recently used one is evicted first, and offloaded to host memory if it has room. Prompts share
only under the same salt (``CacheKey``), so that token counts and timings do not tell one client
what another has sent.

Recurrent and hybrid models, and those with a pruned sliding window, cannot keep part of a
sequence's state. For these only full states are shared. They are saved at turn boundaries and
where two prompts were seen to diverge.
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
"""Minimum tokens of a saved state: fewer are recomputed almost as fast."""

_MIN_TOKENS_TO_RESTORE = 16
"""Minimum tokens a saved state must have beyond the prefix found in the KV cache."""

_MIN_TOKENS_TO_WAIT_FOR = 16
"""Minimum tokens another prompt must be about to compute for a sequence to wait for it."""

_MAX_COPIED_PER_TOKEN_SAVED = 64
"""Maximum tokens copied per token of prefill saved, where each id has a KV cache of its own:
llama.cpp reads only the whole sequence. On a CPU, computing one token takes as long as copying 60
through memory that was never used, or 1,000 through memory that was."""

_MAX_IDLE_CELLS = 2048
"""Unshared KV cells that finished sequences may keep if they can be offloaded to host memory. On a
CPU every row of a batch passes over every used cell: 6,000 idle ones cost a single stream a sixth
of its speed, and restoring 1,500 takes 2 ms."""


_MAX_MOVED_PER_GAP_STEP = 512
"""Maximum tokens moved to close gaps between ids, per step that had gaps: moving 1,500 takes about
5 ms, and a step with gaps takes about that much longer."""


@dataclass(slots=True)
class CacheCounters:
    """Totals of the prefix cache since the engine was opened."""

    hits: int = 0
    """Sequences that found a part of their prompt in the cache."""
    misses: int = 0
    """Sequences that found nothing."""
    hit_tokens: int = 0
    """Prompt tokens found in the cache."""
    queried_tokens: int = 0
    """Prompt tokens looked up: hits and misses."""
    evictions: int = 0
    """Idle sequences evicted from the KV cache."""
    offloads: int = 0
    """States saved to host memory."""
    restores: int = 0
    """States restored from host memory or files."""


class PrefixCache:
    """Manages the sequence ids of one context. For the worker thread only.

    Args:
        memory: the context's KV cache.
        store: saved states: evicted ones, and all that models without partial states share.
        num_ids: sequence ids of the context.
        requires_full_state: True if only full states can be shared (recurrent, hybrid, SWA).
        files: the files that some states of the store are mapped from.
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
        """Unused ids, as a heap: low ids are taken first, so that those in use are adjacent.
        llama.cpp computes rows of separate KV caches together only if their ids are consecutive."""
        self._tree: RadixTree[int] = RadixTree()
        """All tokens of finished sequences; of running ones, the tokens found in the cache and
        those that no other sequence had when they were computed. In a unified KV cache each
        segment has cells of its own, otherwise each owner has."""
        self._finished: OrderedDict[int, None] = OrderedDict()
        """Ids of finished sequences still in the KV cache, least recently used first."""
        self._steps_with_gaps = 0
        """Consecutive steps with gaps between the ids of running sequences."""
        self._pinned: dict[int, int] = {}
        """Ids of pinned sequences, by pin."""

    @property
    def num_cached_sequences(self) -> int:
        """Idle sequences in the KV cache: finished and pinned ones."""
        return len(self._finished) + len(self._pinned)

    @property
    def is_unified(self) -> bool:
        """True if all ids share one KV cache."""
        return self._memory.is_unified

    @property
    def supports_partial_removal(self) -> bool:
        """True if the last tokens of a sequence can be removed."""
        return not self._requires_full_state

    def num_cells(self, running: Iterable[Sequence]) -> int:
        """KV cells in use, by these running sequences and idle ones."""
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
        """True if a running sequence is about to compute a prefix that this one can reuse."""
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
        """Assign the sequence an id that holds the longest cached prefix of its tokens."""
        if self._requires_full_state:
            self._admit_with_full_state(sequence)
        else:
            self._admit_with_shared_prefix(sequence, running)
        if sequence.is_new:
            self._count_lookup(sequence)

    def compact_sequence_ids(self, running: Iterable[Sequence]) -> None:
        """Move running sequences so that their ids are consecutive.

        With separate KV caches llama.cpp computes rows together only if the ids are consecutive: a
        step with gaps takes up to twice as long. A gap may belong to a conversation whose next turn
        is about to arrive, so nothing moves until it has lasted some steps: the more tokens to
        move, the more steps.
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
        """Release a sequence's id; its KV cells stay available for reuse."""
        id = sequence.id
        if id is None:
            return
        sequence.id = None
        if self._requires_full_state:
            self._save(id, sequence.computed, pinned=sequence.pin is not None)
            self._release(id)
            return
        key = sequence.computed
        self._memory.drop(id, len(key))  # drafted tokens, if it failed while verifying them
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
        """Take the KV cells of a running sequence.

        At its next admission they are restored from host memory or computed again.
        """
        assert sequence.id is not None
        self._save(sequence.id, sequence.computed)
        self._release(sequence.id)
        sequence.id, sequence.num_computed = None, 0

    def truncate(self, sequence: Sequence, length: int) -> None:
        """Remove the KV cells of a running sequence beyond its first ``length`` tokens."""
        assert sequence.id is not None
        self._memory.drop(sequence.id, length)

    def checkpoint(self, sequence: Sequence) -> None:
        """Save the state of a running sequence if it has reached one of its checkpoints."""
        if sequence.num_computed in sequence.checkpoints and sequence.id is not None:
            sequence.checkpoints.discard(sequence.num_computed)
            self._save(sequence.id, sequence.computed)

    def unpin(self, pin: int, tokens: Many[int]) -> None:
        """Allow a pinned prefix to be evicted like any other."""
        self._store.unpin(CacheKey(np.asarray(tokens, np.int32)))
        id = self._pinned.pop(pin, None)
        if id is not None:
            self._finished[id] = None

    def evict(self, *, even_pinned: bool = False) -> bool:
        """Evict the least recently used finished sequence; returns False without one."""
        if self._finished:
            self._evict(next(iter(self._finished)))
            return True
        if even_pinned and self._pinned:
            self._evict(next(iter(self._pinned.values())))
            return True
        return False

    def export_state(self, key: CacheKey, *, at_least: int) -> tuple[int, NDArray[np.uint8]] | None:
        """Number of leading tokens of ``key`` that are cached, and the state after them.

        None if they are fewer than ``at_least``, or no id or memory is free to copy the state.
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
        """Save the states of all idle sequences, before the engine closes."""
        for id in [*self._finished, *self._pinned.values()]:
            self._save(id, self._tree.key_of(id))

    def clear(self) -> None:
        """Clear the KV cache after an error that left it in an unknown state."""
        self._memory.clear()
        self._free = list(range(self._num_ids))
        self._tree = RadixTree()
        self._finished.clear()
        self._pinned.clear()

    def check(self, running: Iterable[Sequence]) -> None:
        """Assert that the bookkeeping agrees with llama.cpp, for every id. For tests."""
        active = {s.id: s.num_computed for s in running if s.id is not None}
        idle = {id: self._tree.length(id) for id in [*self._finished, *self._pinned.values()]}
        free = dict.fromkeys(self._free, 0)
        expected = active | idle | free
        assert len(expected) == len(active) + len(idle) + len(free) == self._num_ids
        assert self._tree.owners <= active.keys() | idle.keys()
        actual = {id: self._memory.last_position(id) + 1 for id in expected}
        assert actual == expected, f"tokens by id: {actual}, expected {expected}"

    # --- models with partial states ---------------------------------------------------------

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
            length, source = self._find_source(prefix)  # the attempt may have evicted it
        if source is None:
            self._assign(sequence, self._take_free_id(keep=None), 0)
        elif source in self._finished and self._can_take_over(source, length):
            # The conversation continues: take over the id of its previous turn.
            del self._finished[source]
            if self._tree.length(source) > length:
                self._memory.drop(source, length)
                self._tree.remove(source)
            self._assign(sequence, source, length)
        else:
            if source in self._finished:
                self._finished.move_to_end(source)
            id = self._take_free_id(keep=source)
            length, source = self._find_source(prefix)  # it may have been evicted for the id
            if source is not None and not self._memory.copy(source, id, length):
                length = 0
            self._assign(sequence, id, length)

    def _find_source(self, prefix: CacheKey) -> tuple[int, int | None]:
        """Length of the longest prefix in the KV cache and an id that holds it.

        (0, None) without one, or if copying it is not worthwhile.
        """
        length, source = self._tree.match_prefix(prefix)
        if source is None or self._memory.is_unified:
            return length, source
        num_moved = self._memory.last_position(source) + 1
        is_worthwhile = num_moved <= length * _MAX_COPIED_PER_TOKEN_SAVED
        return (length, source) if is_worthwhile else (0, None)

    def _can_take_over(self, source: int, length: int) -> bool:
        """True if ``source`` has nothing beyond ``length``, or little enough to be discarded.

        Discarding a few tokens is cheaper than copying the others to another id.
        """
        lost = self._tree.length(source) - length
        return lost == 0 or (not self._memory.is_unified and lost < _MIN_TOKENS_TO_SAVE)

    def _assign(self, sequence: Sequence, id: int, length: int) -> None:
        self._tree.extend(id, sequence.key(length))
        sequence.id, sequence.num_computed = id, length

    def _share_cells(self, id: int, key: CacheKey) -> None:
        """Replace cells of a sequence by equal ones of another, in a unified KV cache."""
        if not self._memory.is_unified:
            return
        start = self._tree.length(id)
        shared, other = self._tree.match_prefix(key)
        if other is not None and shared > start:
            self._memory.drop(id, start, shared)
            self._memory.share(other, id, start, shared)

    # --- models with full states only -------------------------------------------------------

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
        """Load a saved state into a free id; None if it is damaged or does not fit."""
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
        """Forget a state from a file that cannot be loaded even into an empty KV cache."""
        if saved.path is not None and len(self._free) == self._num_ids:
            self._store.remove(saved)
            logger.warning("%s: llama.cpp cannot load this saved prompt; ignoring it", saved.path)

    def _discard_damaged(self, saved: SavedState) -> None:
        logger.warning("%s: removing this saved prompt: it is damaged", saved.path)
        if self._files is not None:
            self._files.remove(saved)

    def _swap(self, one: int, other: int) -> bool:
        """Swap two ids: KV cells and bookkeeping. Returns False if memory is short."""
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
        """Evict an idle sequence, offloading it if worthwhile; a pinned one stays pinned there."""
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
        """Offload finished sequences, least recently used first, until few cells are idle.

        The latest one stays. Only for a unified KV cache: elsewhere idle cells cost nothing.
        """
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
        """Take a free id, evicting an idle sequence if needed; ``keep`` only if it is the only one.

        With separate KV caches the id is adjacent to those of running sequences, and an idle
        conversation at that id is moved: moving the new sequence later would take longer, and until
        then every step would.
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
        """Idle ids between and next to the active ones, gaps first."""
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
