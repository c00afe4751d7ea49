"""Saved sequence states in host memory or mapped from files.

A state is a sequence's part of the KV cache in llama.cpp's format. Restoring it takes about a
microsecond per token; computing it again takes milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.radix_tree import CacheKey, RadixTree


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """State after computing the tokens of ``key``."""

    key: CacheKey
    state: NDArray[np.uint8]
    """May be mapped from a file; it is then read on first use."""
    path: Path | None = None
    """Path of the files it is mapped from, without suffix; its name is the content's digest."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of host memory it takes; 0 if mapped, as the system can reclaim these pages."""
        return self.state.nbytes if self.path is None else 0


class StateStore:
    """Saved states within a byte budget; the least recently used are removed first.

    Args:
        limit_bytes: byte budget of the states not mapped from files; 0 keeps none.
        requires_full_state: True if a part of a state cannot be used.
    """

    def __init__(self, limit_bytes: int, *, requires_full_state: bool) -> None:
        self.limit_bytes = limit_bytes
        self._requires_full_state = requires_full_state
        self._tree: RadixTree[SavedState] = RadixTree()
        self._saved: OrderedDict[SavedState, bool] = OrderedDict()
        """States, least recently used first; the value is True if the state is pinned."""
        self._checked: set[SavedState] = set()
        self.num_bytes = 0
        """Bytes of host memory that the states take."""

    def __len__(self) -> int:
        return len(self._saved)

    def put(self, saved: SavedState, *, pinned: bool = False) -> bool:
        """Add a state; returns False if it is already stored or does not fit the budget."""
        size = saved.memory_bytes
        length, existing = self._tree.match_complete_entry(saved.key)
        if existing is not None and length == len(saved.key):
            self._saved[existing] = self._saved[existing] or pinned
            self._saved.move_to_end(existing)
            return False
        if size > self.limit_bytes:
            return False
        if existing is not None and self._can_be_replaced(existing):
            self.remove(existing)
        for oldest in [state for state in self.in_memory if not self._saved[state]]:
            if self.num_bytes + size <= self.limit_bytes:
                break
            self.remove(oldest)
        if self.num_bytes + size > self.limit_bytes:
            return False
        self._tree.extend(saved, saved.key)
        self._saved[saved] = pinned
        self.num_bytes += size
        return True

    def unpin(self, key: CacheKey) -> None:
        """Allow the state of exactly this key to be removed like any other."""
        length, existing = self._tree.match_complete_entry(key)
        if existing is not None and length == len(key):
            self._saved[existing] = False

    def find(self, key: CacheKey) -> tuple[int, SavedState | None]:
        """Length of the longest usable prefix of ``key``, and the state that has it."""
        find = (
            self._tree.match_complete_entry
            if self._requires_full_state
            else self._tree.match_prefix
        )
        return find(key)

    @property
    def in_memory(self) -> list[SavedState]:
        """States not mapped from files, least recently used first."""
        return [saved for saved in self._saved if saved.path is None]

    def use(self, saved: SavedState, is_sound: Callable[[SavedState], bool]) -> bool:
        """Mark a state as used; if it is damaged, remove it and return False.

        Args:
            saved: a state of this store.
            is_sound: integrity check, called once per state.
        """
        if saved not in self._checked and not is_sound(saved):
            self.remove(saved)
            return False
        self._checked.add(saved)
        self._saved.move_to_end(saved)
        return True

    def common_length(self, key: CacheKey) -> int:
        """Length of the longest prefix that ``key`` shares with the key of any state."""
        return self._tree.match_prefix(key)[0]

    def clear(self) -> None:
        """Remove all states."""
        for saved in list(self._saved):
            self.remove(saved)

    def _can_be_replaced(self, existing: SavedState) -> bool:
        """True if a longer state can replace this one. States in files are kept: other prompts may
        begin with them."""
        return not self._requires_full_state and not self._saved[existing] and existing.path is None

    def remove(self, saved: SavedState) -> None:
        """Remove a state from the store; its files stay."""
        del self._saved[saved]
        self._checked.discard(saved)
        self._tree.remove(saved)
        self.num_bytes -= saved.memory_bytes
