"""Stop sequences, found however the tokens split them."""

from __future__ import annotations

from collections.abc import Sequence


class StopFinder:
    """Passes text through up to the first stop sequence, holding back a possible start of one.

    If several match, the one that is complete first ends the text.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.found: str | None = None
        """The stop sequence that was found; None until then."""
        self._stops = stops
        self._held = ""

    def push(self, text: str, *, is_last: bool) -> str:
        """Add text and return what is clear of stop sequences.

        Args:
            text: the next part of the text.
            is_last: no more text follows, so nothing is held back.
        """
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
    """Number of characters at the end of a text that are the start of a stop sequence."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
