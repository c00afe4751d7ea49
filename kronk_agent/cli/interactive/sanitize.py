"""Text from outside, made fit for a terminal."""

from __future__ import annotations

import re

# All but tab and newline: an escape sequence in a web page must not reach the screen.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text without characters that would move the cursor or change the terminal."""
    return _CONTROL_CHARACTERS.sub("", text)
