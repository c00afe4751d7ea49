"""Finding marks in text that arrives in chunks, the same however it is split."""

from __future__ import annotations

import re

_IN_STRING = re.compile(r'["\\]')
_STRUCTURE = re.compile(r'["{}\[\]]')


class MarkFinder:
    """Lets text through up to the first mark, holding back only what may be a mark's start.

    The first mark is the one that is complete first.
    """

    def __init__(self, *marks: str) -> None:
        assert all(marks)
        self._marks = marks
        self._held = ""

    def push(self, chunk: str) -> tuple[str, str | None]:
        """The text that is clear of marks, and what follows the mark if there is one."""
        text = self._held + chunk
        found = [(at + len(mark), at) for mark in self._marks if (at := text.find(mark)) >= 0]
        if found:
            self._held = ""
            end, start = min(found)
            return text[:start], text[end:]
        num_held = max((_length_of_start(mark, text) for mark in self._marks), default=0)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held], None

    def flush(self) -> str:
        """What was held back, now that nothing follows it."""
        held, self._held = self._held, ""
        return held


class BlankTrimmer:
    """Lets text through, but the blanks at its end only once there is more text."""

    def __init__(self) -> None:
        self._blanks: list[str] = []

    def push(self, text: str) -> str:
        trimmed = text.rstrip()
        if not trimmed:
            self._blanks.append(text)
            return ""
        let_through = self.flush() + trimmed
        self._blanks.append(text[len(trimmed) :])
        return let_through

    def flush(self) -> str:
        """The blanks at the end."""
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks


def _length_of_start(mark: str, text: str) -> int:
    """How many characters at the end of a text are the start of a mark."""
    lengths = range(min(len(mark) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(mark[:length])), 0)


class JsonObjectEnd:
    """Finds where a JSON object ends of which only the opening brace has been read."""

    def __init__(self) -> None:
        self._depth = 1
        self._is_in_string = False
        self._is_escaped = False

    def find(self, chunk: str) -> int | None:
        """Where in this chunk, the next of the object, the object is over."""
        position = int(self._is_escaped and chunk != "")
        self._is_escaped = self._is_escaped and chunk == ""
        while match := (_IN_STRING if self._is_in_string else _STRUCTURE).search(chunk, position):
            position = match.end()
            match match.group():
                case '"':
                    self._is_in_string = not self._is_in_string
                case "\\":
                    self._is_escaped = position == len(chunk)
                    position += 1
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth == 0:
                        return position
        return None
