"""Sanitizes untrusted text for display in a terminal."""

from __future__ import annotations

import re

# All except tab and newline: escape sequences in a web page must not reach the terminal.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return the text without control characters, which could move the cursor."""
    return _CONTROL_CHARACTERS.sub("", text)
