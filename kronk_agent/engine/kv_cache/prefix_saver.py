"""Saving the prefixes that prompts begin with to files, once somebody has computed them."""

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
"""Tokens from which on a prefix is saved: a CPU computes fewer within about a second."""
_MAX_PENDING = 16
"""Prefixes to be saved that nobody has computed yet."""


class PrefixSaver:
    """Saves prefixes between generations, so that no answer waits for it. For the worker thread.

    Args:
        files: where they are saved; None saves nothing.
        cache: of the engine.
        store: gets the states that were saved before.
        keeps_conversations: save everything computed without a salt when the engine closes.
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
        """Note the prefix that a sequence is about to compute, if it is to be saved."""
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
        """Save what was noted and has been computed; nothing may be running."""
        self._save(is_last=False)

    def close(self) -> None:
        """Save what there is, also the computed beginning of a prefix, and wait for the files."""
        if self._files is None:
            return
        self._save(is_last=True)
        if self._keeps_conversations:
            self._cache.save_all()
            for state in self._store.in_memory:
                if not state.key.is_salted:  # a caller's own stays in memory
                    self._files.write_soon(state)
        self._files.close()

    def _save(self, *, is_last: bool) -> None:
        for key, tokens in list(self._pending.items()):
            at_least = _MIN_TOKENS_TO_SAVE if is_last else len(tokens)
            found = self._cache.export_state(CacheKey(tokens), at_least=at_least)
            if found is None:
                continue  # whoever was to compute it gave up; the next one may not
            assert self._files is not None
            length, state = found
            del self._pending[key]
            self._files.write_soon(SavedState(CacheKey(tokens[:length]), state))
            self._saved.add(key)
            logger.debug("saving the state of a prompt's first %d tokens", length)
