"""Saved states in files that outlive the process, with one byte budget for all models.

File errors are logged and cost only time: the state is computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kronk_agent.engine.kv_cache.radix_tree import CacheKey
from kronk_agent.engine.kv_cache.state_store import SavedState

logger = logging.getLogger(__name__)

_TOKENS = ".tokens.npy"
_STATE = ".state.npy"
_PART = ".part"
_DIGEST = re.compile(r"[0-9a-f]{32}")
_MAX_TOKENS_BYTES = 64 << 20
"""Maximum size of a file of tokens; a larger one was not written by us."""
_PART_SECONDS = 3600
"""Age from which an incomplete file is taken for the remains of a killed process."""


@dataclass(frozen=True, slots=True)
class _StateEntry:
    """Two files of one state."""

    stem: Path
    """Path of the files without their suffixes."""
    size: int
    """Bytes of both files."""
    used_at: float
    """Time of last use, in seconds since the epoch."""

    def remove(self) -> None:
        """Remove both files, and the folder if it is empty then."""
        _remove(self.stem)
        with suppress(OSError):  # not empty
            self.stem.parent.rmdir()


class StateFiles:
    """Files of one model's states.

    Args:
        root: folder shared by all models; files not named like ours are left alone.
        name: name of the model's folder in it; see ``snapshot_name``.
        limit_bytes: byte budget of ``root``; the least recently used states are removed first.
    """

    def __init__(self, root: Path, name: str, limit_bytes: int) -> None:
        self._root = root
        self._folder = root / name
        self._limit_bytes = limit_bytes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kronk-states")

    def read(self) -> list[SavedState]:
        """List the saved states; the content of each is read from its file on first use."""
        try:
            if not self._folder.is_dir() or not _is_private(self._folder):
                return []
            paths = sorted(self._folder.glob(f"*{_TOKENS}"))
        except OSError as error:
            logger.warning("%s: cannot read saved prompts: %s", self._folder, error)
            return []
        states = (_read(path.with_name(path.name.removesuffix(_TOKENS))) for path in paths)
        return [state for state in states if state is not None]

    def write_soon(self, saved: SavedState) -> None:
        """Write a state in the background.

        Args:
            saved: a state whose key is not salted: files are shared by all clients.
        """
        assert not saved.key.is_salted
        self._writer.submit(self._write, saved)

    def mark_used(self, saved: SavedState) -> None:
        """Mark a state as the most recently used one."""
        if saved.path is not None:
            with suppress(OSError):  # another process removed it
                os.utime(_with(saved.path, _TOKENS))

    def remove(self, saved: SavedState) -> None:
        """Remove the files of a state."""
        if saved.path is not None:
            _remove(saved.path)

    def close(self) -> None:
        """Wait until all states are written."""
        self._writer.shutdown()

    def _write(self, saved: SavedState) -> None:
        size = saved.state.nbytes + saved.key.tokens.nbytes
        if size > self._limit_bytes:
            logger.info("not saving a prompt of %d bytes: over engine.cache_disk_mib", size)
            return
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(self._folder):
                return
            stem = self._folder / _digest(saved.key.tokens, saved.state)
            # The tokens last: a state without them is ignored.
            _write_array(_with(stem, _STATE), saved.state)
            _write_array(_with(stem, _TOKENS), saved.key.tokens)
            self._trim()
        except OSError as error:
            logger.warning("%s: cannot save a prompt: %s", self._folder, error)

    def _trim(self) -> None:
        """Remove the least recently used states over the budget, and abandoned parts."""
        left = self._limit_bytes
        for entry in sorted(self._entries(), key=lambda entry: entry.used_at, reverse=True):
            left -= entry.size
            if left < 0:
                entry.remove()
        for part in self._root.glob(f"*/*{_PART}"):
            with suppress(OSError):
                if part.stat().st_mtime < time.time() - _PART_SECONDS:
                    part.unlink()

    def _entries(self) -> Iterator[_StateEntry]:
        for tokens in self._root.glob(f"*/*{_TOKENS}"):
            stem = tokens.with_name(tokens.name.removesuffix(_TOKENS))
            if not _DIGEST.fullmatch(stem.name) or not _DIGEST.fullmatch(stem.parent.name):
                continue
            with suppress(OSError):  # another process removed it
                status = tokens.stat()
                size = status.st_size + _with(stem, _STATE).stat().st_size
                yield _StateEntry(stem, size, status.st_mtime)


def is_sound(saved: SavedState) -> bool:
    """True if a state from a file matches its digest. llama.cpp does not validate states."""
    return saved.path is None or _digest(saved.key.tokens, saved.state) == saved.path.name


def _is_private(folder: Path) -> bool:
    """True if only this user can write to a folder, and so chose the states in it."""
    status = folder.stat()
    is_own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    is_private = os.name == "nt" or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_own and is_private:
        return True
    logger.warning(
        "%s: other users can write here, so saved prompts are not used: chmod 700", folder
    )
    return False


def _read(stem: Path) -> SavedState | None:
    try:
        if not _DIGEST.fullmatch(stem.name):
            raise ValueError("the name is not a digest")
        if _with(stem, _TOKENS).stat().st_size > _MAX_TOKENS_BYTES:
            raise ValueError("the file is too large")
        tokens = np.load(_with(stem, _TOKENS), allow_pickle=False)
        state = np.load(_with(stem, _STATE), mmap_mode="r", allow_pickle=False)
        if (tokens.dtype, state.dtype) != (np.int32, np.uint8) or tokens.ndim != 1:
            raise ValueError("the arrays have unexpected types")
    except Exception as error:  # noqa: BLE001  # boundary: a foreign file can raise anything
        logger.warning("%s: cannot read this saved prompt: %s", stem, error)
        return None
    return SavedState(CacheKey(tokens), state, stem)


def _write_array(path: Path, array: NDArray[np.int32] | NDArray[np.uint8]) -> None:
    """Write a file atomically, readable only by its owner."""
    if path.exists():
        return
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=_PART)
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _remove(stem: Path) -> None:
    for ending in (_TOKENS, _STATE):
        with suppress(OSError):
            _with(stem, ending).unlink(missing_ok=True)


def _with(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _digest(tokens: NDArray[np.int32], state: NDArray[np.uint8]) -> str:
    digest = hashlib.blake2b(tokens.tobytes(), digest_size=16)
    digest.update(np.ascontiguousarray(state).data)
    return digest.hexdigest()
