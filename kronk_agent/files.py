"""Atomic writes of the user's files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Exceptions from reading one of our JSON files that was damaged or written by others."""


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file atomically. Only its owner can read it, at any moment.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
