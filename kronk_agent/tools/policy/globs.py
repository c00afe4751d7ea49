"""Globs with ``*`` for any text and ``?`` for any character; nothing else is special."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase


def matches(text: str, glob: str, *, is_exact: bool) -> bool:
    """True if the glob matches the text, both in NFC; case matters only if ``is_exact``."""
    text, glob = (unicodedata.normalize("NFC", each) for each in (text, glob))
    if not is_exact:
        text, glob = (unicodedata.normalize("NFC", each.casefold()) for each in (text, glob))
    return fnmatchcase(text, glob.replace("[", "[[]"))


def matches_path(spellings: Iterable[str], glob: str, *, is_exact: bool) -> bool:
    """True if all spellings of a path match if ``is_exact``, else if any does.

    A trailing slash matters only if ``is_exact``.
    """
    if is_exact:
        return all(matches(path, glob, is_exact=True) for path in spellings)
    return any(
        matches(path, glob, is_exact=False)
        for spelling in spellings
        for path in (spelling, spelling.rstrip("/"), f"{spelling.rstrip('/')}/")
    )
