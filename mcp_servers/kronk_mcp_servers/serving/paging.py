"""Pagination of long lists."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TypeVar

import mcp.types as t
from mcp import MCPError

PAGE_SIZE = 250

_Item = TypeVar("_Item")


def page(
    items: Sequence[_Item], params: t.PaginatedRequestParams | None
) -> tuple[list[_Item], str | None]:
    """Return the requested page and the cursor of the next one.

    Raises:
        MCPError: the cursor is invalid.
    """
    start = _start(params.cursor) if params and params.cursor else 0
    end = start + PAGE_SIZE
    return list(items[start:end]), _cursor(end) if end < len(items) else None


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode("ascii")


def _start(cursor: str) -> int:
    try:
        word, _, number = base64.urlsafe_b64decode(cursor.encode()).decode("ascii").partition(":")
        if word == "from" and number.isdecimal():
            return int(number)
    except ValueError:
        pass
    raise MCPError(t.INVALID_PARAMS, f"invalid cursor {cursor[:64]!r}")
