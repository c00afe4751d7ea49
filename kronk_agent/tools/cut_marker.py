"""The note at the end of a text that was cut: how much of it is left and where the rest is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_LONGEST_MARKER = 1000
"""Characters."""
_CUT = re.compile(
    r"\n\[Cut here: these are the first \d+ of (?P<total>\d+) characters\. To read on, "
    r'(?:call read_resource with \{"uri": "(?P<uri>[^"\s]+)", "start": \d+\}|call the tool [^\]]+)'
    r"\.\]\s*\Z"
)
_READ = re.compile(
    r"\[resource (?P<uri>\S+) \([^)\n]*\)(?:, characters (?P<start>\d+) to [^\]]*)?\]\n"
)
"""The first line of what read_resource gives."""


@dataclass(frozen=True, slots=True)
class CutText:
    """A text that can be cut, and may have been cut before."""

    kept: str
    """The text without its cut marker."""
    num_characters: int
    """Of the whole text."""
    uri: str | None = None
    """Where ``read_resource`` reads the whole text; None if it is kept nowhere."""
    offset: int = 0
    """Where ``kept`` begins in the text under that address."""

    @classmethod
    def read(cls, text: str) -> CutText:
        """A text that may end with a note of ``cut_marker`` or be a part read by read_resource."""
        cut = _CUT.search(text, max(0, len(text) - _LONGEST_MARKER))
        if cut is not None:
            return cls(text[: cut.start()], int(cut["total"]), cut["uri"])
        read = _READ.match(text)
        if read is not None:
            return cls(text, len(text), read["uri"], int(read["start"] or 0) - read.end())
        return cls(text, len(text))

    def cut_marker(self, num_kept: int) -> str:
        """The note behind the first ``num_kept`` characters."""
        return f"\n[Cut here: {self._extent(num_kept)} To read on, {self._how_to_go_on(num_kept)}]"

    def shortened_marker(self, num_kept: int) -> str:
        """The same for an old text that is shortened to make room."""
        remedy = "make the call again." if self.uri is None else self._how_to_go_on(num_kept)
        return f"\n[Shortened to save room: {self._extent(num_kept)} To see more, {remedy}]"

    def _extent(self, num_kept: int) -> str:
        return f"these are the first {num_kept} of {self.num_characters} characters."

    def _how_to_go_on(self, num_kept: int) -> str:
        if self.uri is None:
            return (
                "call the tool again with other arguments: an offset, a page or a narrower request."
            )
        start = max(0, self.offset + num_kept)
        return f"call read_resource with {json.dumps({'uri': self.uri, 'start': start})}."
