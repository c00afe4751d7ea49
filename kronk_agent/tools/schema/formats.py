"""String formats that MCP forms can use: email, uri, date and date-time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from jsonschema import FormatChecker

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")

EXAMPLES = {
    "email": "name@example.com",
    "uri": "https://example.com/page",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
}
"""A valid value for each format."""


def format_checker() -> FormatChecker:
    """Return a checker for these formats only."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=())
    # Registered on the object: the class decorator would change all other checkers.
    checker.checkers = {
        "email": (_is_email, ()),
        "uri": (_is_uri, ()),
        "date": (_is_date, ()),
        "date-time": (_is_date_time, ()),
    }
    return checker


def _is_email(value: object) -> bool:
    return not isinstance(value, str) or _EMAIL.fullmatch(value) is not None


def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not _URI.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme not in ("http", "https") or bool(parts.hostname)


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return _DATE.fullmatch(value) is not None and _parses(date.fromisoformat, value)


def _is_date_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return _DATE_TIME.fullmatch(value) is not None and _parses(_parse_date_time, value)


def _parse_date_time(text: str) -> datetime:
    return datetime.fromisoformat(text.upper())


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
