"""Saves shared prompt prefixes to files once they have been computed."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.prefix_cache import PrefixCache
from kronk_agent.engine.kv_cache.radix_tree import CacheKey
from kronk_agent.engine.kv_cache.state_files import StateFiles
from kronk_agent.engine.kv_cache.state_store import SavedState, StateStore
from kronk_agent.engine.sequence import Sequence

logger = logging.getLogger(__name__)

_MIN_TOKENS_TO_SAVE = 128
"""Minimum tokens of a saved prefix: a CPU computes fewer within about a second."""
_MAX_PENDING = 16
"""Maximum prefixes that wait to be computed and saved."""


class PrefixSaver:
    """Saves prefixes while nothing runs, so that no request waits. For the worker thread only.

    Args:
        files: destination; None saves nothing.
        cache: the engine's prefix cache.
        store: receives the states saved by earlier processes.
        keeps_conversations: when the engine closes, also save all states without a salt.
    """

    def __init__(
        self,
        files: StateFiles | None,
        cache: PrefixCache,
        store: StateStore,
        *,
        keeps_conversations: bool,
    ) -> None:
        self._files = files
        self._cache = cache
        self._store = store
        self._keeps_conversations = keeps_conversations
        self._pending: dict[bytes, NDArray[np.int32]] = {}
        self._saved: set[bytes] = set()
        for state in files.read() if files is not None else ():
            self._saved.add(state.key.tokens.tobytes())
            store.put(state)

    def schedule_save(self, sequence: Sequence) -> None:
        """Mark the shared prefix of a sequence for saving once it has been computed."""
        if self._files is None or sequence.shared_prefix < _MIN_TOKENS_TO_SAVE:
            return
        tokens = sequence.tokens[: sequence.shared_prefix]
        key = tokens.tobytes()
        if key in self._saved:
            return
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        self._pending[key] = tokens.copy()
        if not self._cache.supports_partial_removal:
            sequence.checkpoints.add(len(tokens))

    def save(self) -> None:
        """Save the marked prefixes that have been computed. Nothing may be running."""
        self._save(is_last=False)

    def close(self) -> None:
        """Save all marked prefixes, incomplete ones too, and wait until they are written."""
        if self._files is None:
            return
        self._save(is_last=True)
        if self._keeps_conversations:
            self._cache.save_all()
            for state in self._store.in_memory:
                if not state.key.is_salted:  # salted states stay in memory
                    self._files.write_soon(state)
        self._files.close()

    def _save(self, *, is_last: bool) -> None:
        for key, tokens in list(self._pending.items()):
            at_least = _MIN_TOKENS_TO_SAVE if is_last else len(tokens)
            found = self._cache.export_state(CacheKey(tokens), at_least=at_least)
            if found is None:
                continue  # its sequence was cancelled; a later one may compute it
            assert self._files is not None
            length, state = found
            del self._pending[key]
            self._files.write_soon(SavedState(CacheKey(tokens[:length]), state))
            self._saved.add(key)
            logger.debug("saving the state of a prompt's first %d tokens", length)
