"""Saved sequence states in host memory, and those mapped from files.

A state is what a sequence had in the KV memory, in llama.cpp's own format. Putting one back takes
about a microsecond a token; computing it again takes milliseconds.
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
    """The state after some tokens."""

    key: CacheKey
    """The tokens, and whose they are."""
    state: NDArray[np.uint8]
    """May be mapped from a file, and is then read when it is used."""
    path: Path | None = None
    """The files it is mapped from, without their endings; its name is the content's digest."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of host memory it takes; the system reclaims what is mapped from a file."""
        return self.state.nbytes if self.path is None else 0


class StateStore:
    """States under a budget of bytes; the least recently used goes first.

    Args:
        limit_bytes: of all states that are not mapped from files; 0 keeps none.
        requires_full_state: True where a state can only be used whole, not a part of it.
    """

    def __init__(self, limit_bytes: int, *, requires_full_state: bool) -> None:
        self.limit_bytes = limit_bytes
        self._requires_full_state = requires_full_state
        self._tree: RadixTree[SavedState] = RadixTree()
        self._saved: OrderedDict[SavedState, bool] = OrderedDict()
        """States, least recently used first, and whether each is pinned."""
        self._checked: set[SavedState] = set()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._saved)

    def put(self, saved: SavedState, *, pinned: bool = False) -> bool:
        """Keep a state; False where it is larger than the budget or there already."""
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
        """Let the state of these tokens be evicted like the rest."""
        length, existing = self._tree.match_complete_entry(key)
        if existing is not None and length == len(key):
            self._saved[existing] = False

    def find(self, key: CacheKey) -> tuple[int, SavedState | None]:
        """How many of the first tokens the best state covers, and that state."""
        find = (
            self._tree.match_complete_entry
            if self._requires_full_state
            else self._tree.match_prefix
        )
        return find(key)

    @property
    def in_memory(self) -> list[SavedState]:
        """States that are not mapped from files, least recently used first."""
        return [saved for saved in self._saved if saved.path is None]

    def use(self, saved: SavedState, is_sound: Callable[[SavedState], bool]) -> bool:
        """Mark a state as used; False, and it is forgotten, if it is not sound.

        Args:
            saved: one of the store's.
            is_sound: asked once for each state.
        """
        if saved not in self._checked and not is_sound(saved):
            self.remove(saved)
            return False
        self._checked.add(saved)
        self._saved.move_to_end(saved)
        return True

    def common_length(self, key: CacheKey) -> int:
        """The longest prefix these tokens share with the tokens of any state."""
        return self._tree.match_prefix(key)[0]

    def clear(self) -> None:
        for saved in list(self._saved):
            self.remove(saved)

    def _can_be_replaced(self, existing: SavedState) -> bool:
        """True if a longer state serves in its place. Files stay: others may begin with them."""
        return not self._requires_full_state and not self._saved[existing] and existing.path is None

    def remove(self, saved: SavedState) -> None:
        """Forget a state."""
        del self._saved[saved]
        self._checked.discard(saved)
        self._tree.remove(saved)
        self.num_bytes -= saved.memory_bytes
