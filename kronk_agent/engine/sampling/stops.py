"""Texts that end a generation, found however the tokens split them."""

from __future__ import annotations

from collections.abc import Sequence


class StopFinder:
    """Lets text through up to the first stop text, holding back what may be the start of one.

    Where several could end the text, the one that is complete first does.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.found: str | None = None
        """The stop text that ended it."""
        self._stops = stops
        self._held = ""

    def push(self, text: str, *, is_last: bool) -> str:
        """The text that is clear of stop texts. ``is_last``: nothing more will come."""
        if not self._stops:
            return text
        text = self._held + text
        found = [(at + len(s), at, s) for s in self._stops if (at := text.find(s)) >= 0]
        if found:
            _, start, self.found = min(found)
            return text[:start]
        num_held = 0 if is_last else max(_length_of_start(stop, text) for stop in self._stops)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held]


def _length_of_start(stop: str, text: str) -> int:
    """How many characters at the end of a text are the start of a stop text."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
