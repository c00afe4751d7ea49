"""Flat names of tools in a namespace or on an MCP server, as the model sees them."""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LENGTH = 64
_HASH_LENGTH = 8


def flat_name(group: str | None, name: str) -> str:
    """``group__name``; sanitized and suffixed with a hash where that is not a valid tool name."""
    if group is None:
        return name
    whole = f"{group}__{name}"
    safe = _UNSAFE.sub("_", whole)
    if safe == whole and len(whole) <= _LENGTH:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{safe[: _LENGTH - _HASH_LENGTH - 1]}_{digest}"
