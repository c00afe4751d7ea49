"""Globs in which ``*`` stands for any text and ``?`` for any character, and nothing else does."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase


def fits(text: str, glob: str, *, is_exact: bool) -> bool:
    """True if the glob matches the whole text, both in NFC; case counts only if ``is_exact``."""
    text, glob = (unicodedata.normalize("NFC", each) for each in (text, glob))
    if not is_exact:
        text, glob = (unicodedata.normalize("NFC", each.casefold()) for each in (text, glob))
    return fnmatchcase(text, glob.replace("[", "[[]"))


def fits_path(spellings: Iterable[str], glob: str, *, is_exact: bool) -> bool:
    """True if all spellings of a path match, or if any does unless ``is_exact``.

    A slash at the end makes a difference only if ``is_exact``.
    """
    if is_exact:
        return all(fits(path, glob, is_exact=True) for path in spellings)
    return any(
        fits(path, glob, is_exact=False)
        for spelling in spellings
        for path in (spelling, spelling.rstrip("/"), f"{spelling.rstrip('/')}/")
    )
