"""Files of the person's own that programs change: each is whole, whatever happens meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a JSON file of ours raises when somebody else has written or damaged it."""


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file, or leave it as it was. Nobody else can read it, not even for a moment.

    Raises:
        OSError: it cannot be written.
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
