"""A tool in a group, as the model sees it: one name, with the group's in it."""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LENGTH = 64
_HASH_LENGTH = 8


def flat_name(group: str | None, name: str) -> str:
    """``group__name``; with a hash at its end where that is no name a tool can have."""
    if group is None:
        return name
    whole = f"{group}__{name}"
    safe = _UNSAFE.sub("_", whole)
    if safe == whole and len(whole) <= _LENGTH:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{safe[: _LENGTH - _HASH_LENGTH - 1]}_{digest}"
