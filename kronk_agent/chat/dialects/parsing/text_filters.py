"""Filters for text on its way to the output."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final


class TextFilter:
    """Passes text on unchanged."""

    def __init__(self, emit: Callable[[str], object]) -> None:
        self.has_begun = False
        """True once the text had a character that is not blank."""
        self._emit = emit

    def push(self, text: str) -> None:
        """Add text."""
        self.has_begun = self.has_begun or not text.isspace()
        self._emit(text)

    def finish(self) -> None:
        """End the text and pass on what was held."""
        return


class TrimFilter(TextFilter):
    """Passes text on without leading and trailing blanks."""

    def __init__(self, emit: Callable[[str], object]) -> None:
        super().__init__(emit)
        self._blanks: list[str] = []

    def push(self, text: str) -> None:
        """Add text; trailing blanks are held until more text follows."""
        if not self.has_begun:
            text = text.lstrip()
            self.has_begun = text != ""
        trimmed = text.rstrip()
        if trimmed:
            self._emit("".join(self._blanks) + trimmed)
            self._blanks = []
        self._blanks.append(text[len(trimmed) :])


class DelimiterFilter(TextFilter):
    """Passes thinking on together with the delimiter before it, unless the thinking is blank."""

    def __init__(self, emit: Callable[[str], object], delimiter: str) -> None:
        super().__init__(emit)
        self._held = delimiter

    def push(self, text: str) -> None:
        """Add text; blanks are held with the delimiter until other text follows."""
        self._held += text
        if self.has_begun or not text.isspace():
            self.has_begun = True
            self._emit(self._held)
            self._held = ""


_FENCE: Final = "```"
_FENCED_END: Final = re.compile(r"\s*`*\s*\Z")


class FenceFilter(TextFilter):
    """Passes JSON on without the blanks or code fences that models put around it."""

    def __init__(self, emit: Callable[[str], object]) -> None:
        super().__init__(emit)
        self._is_at_start = True
        self._held = ""

    def push(self, text: str) -> None:
        """Add text; what may be a fence is held."""
        self._held += text
        if self._is_at_start:
            head = self._held.lstrip()
            if head[:3] == _FENCE[: len(head)] and "\n" not in head:
                return
            self._is_at_start = False
            self._held = head.partition("\n")[2] if head.startswith(_FENCE) else head
        end = _FENCED_END.search(self._held)
        assert end is not None, "matches the empty text"
        self._emit(self._held[: end.start()])
        self._held = self._held[end.start() :]

    def finish(self) -> None:
        """End the text; a held fence at its end is dropped."""
        if self._is_at_start:
            self._emit(self._held.strip())
