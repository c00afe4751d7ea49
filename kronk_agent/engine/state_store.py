"""Saved sequence states in host memory, and in files that outlive the process.

A state is what a sequence had in the KV memory, in llama.cpp's own format. Putting one back takes
about a microsecond a token; computing it again takes milliseconds.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.prefix_tree import PrefixTree

logger = logging.getLogger(__name__)

_TOKENS = ".tokens.npy"
_STATE = ".state.npy"


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """The state after some tokens."""

    tokens: NDArray[np.int32]
    state: NDArray[np.uint8]
    """May be mapped from a file, and is then read when it is used."""
    path: Path | None = None
    """The file it is mapped from, without its endings; its name is the content's digest."""


class StateStore:
    """States under a budget of bytes; the least recently used goes first.

    Args:
        limit_bytes: of all states together; 0 keeps none.
        whole: can only a whole state be used, not a part of one?
    """

    def __init__(self, limit_bytes: int, *, whole: bool) -> None:
        self.limit_bytes = limit_bytes
        self._whole = whole
        self._tree: PrefixTree[SavedState] = PrefixTree()
        self._saved: OrderedDict[SavedState, bool] = OrderedDict()
        """States, least recently used first, and whether each is pinned."""
        self._checked: set[SavedState] = set()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._saved)

    def put(self, saved: SavedState, *, pinned: bool = False) -> bool:
        """Keep a state; False where it is larger than the budget or there already."""
        size = saved.state.nbytes
        length, known = self._tree.longest_whole(saved.tokens)
        if known is not None and length == len(saved.tokens):
            self._saved[known] = self._saved[known] or pinned
            self._saved.move_to_end(known)
            return False
        if size > self.limit_bytes:
            return False
        if known is not None and not self._whole and not self._saved[known]:
            self._remove(known)  # the new one can serve in its place
        for oldest in [state for state, is_pinned in self._saved.items() if not is_pinned]:
            if self.num_bytes + size <= self.limit_bytes:
                break
            self._remove(oldest)
        if self.num_bytes + size > self.limit_bytes:
            return False
        self._tree.extend(saved, saved.tokens)
        self._saved[saved] = pinned
        self.num_bytes += size
        return True

    def unpin(self, tokens: NDArray[np.int32]) -> None:
        length, known = self._tree.longest_whole(tokens)
        if known is not None and length == len(tokens):
            self._saved[known] = False

    def find(self, tokens: NDArray[np.int32]) -> tuple[int, SavedState | None]:
        """How many of the first tokens the best state covers, and that state."""
        find = self._tree.longest_whole if self._whole else self._tree.longest
        return find(tokens)

    def use(self, saved: SavedState) -> bool:
        """Say that a state is to be put back. False where it came from a file and is damaged:
        llama.cpp trusts the states it is given."""
        if saved not in self._checked and not _is_sound(saved):
            logger.warning("%s: this snapshot is damaged and is left aside", saved.path)
            self._remove(saved)
            return False
        self._checked.add(saved)
        self._saved.move_to_end(saved)
        return True

    def common_length(self, tokens: NDArray[np.int32]) -> int:
        """The longest prefix these tokens share with the tokens of any state."""
        return self._tree.longest(tokens)[0]

    def clear(self) -> None:
        for saved in list(self._saved):
            self._remove(saved)

    def write(self, folder: Path) -> int:
        """Write the states to files, and remove the files of states that are gone.

        Returns:
            How many states the folder holds now.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {_write(saved, folder) for saved in self._saved}
        for path in folder.glob(f"*{_TOKENS}"):
            if (stem := path.name.removesuffix(_TOKENS)) not in kept:
                path.unlink(missing_ok=True)
                (folder / (stem + _STATE)).unlink(missing_ok=True)
        return len(kept)

    def read(self, folder: Path) -> None:
        """Take up the states in a folder; each is read from its file when it is first used."""
        for path in folder.glob(f"*{_TOKENS}"):
            stem = path.name.removesuffix(_TOKENS)
            try:
                tokens = np.load(path, allow_pickle=False)
                state = np.load(folder / (stem + _STATE), mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                logger.warning("%s: this snapshot cannot be read: %s", path, error)
                continue
            if tokens.dtype == np.int32 and state.dtype == np.uint8 and tokens.ndim == 1:
                self.put(SavedState(tokens, state, folder / stem))

    def _remove(self, saved: SavedState) -> None:
        del self._saved[saved]
        self._checked.discard(saved)
        self._tree.remove(saved)
        self.num_bytes -= saved.state.nbytes


def _digest(tokens: NDArray[np.int32], state: NDArray[np.uint8]) -> str:
    digest = hashlib.blake2b(tokens.tobytes(), digest_size=16)
    digest.update(np.ascontiguousarray(state).data)
    return digest.hexdigest()


def _is_sound(saved: SavedState) -> bool:
    """Is what comes from a file what was written?"""
    return saved.path is None or _digest(saved.tokens, saved.state) == saved.path.name


def _write(saved: SavedState, folder: Path) -> str:
    stem = saved.path.name if saved.path is not None else _digest(saved.tokens, saved.state)
    # The tokens last: a state without them is not taken up.
    for ending, array in ((_STATE, saved.state), (_TOKENS, saved.tokens)):
        path = folder / (stem + ending)
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, array)
            part.replace(path)
    return stem
