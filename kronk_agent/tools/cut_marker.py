"""The marker at the end of a truncated text: how much is missing and where to read it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_MAX_MARKER_CHARS = 1000
"""Maximum length of a marker."""
_CUT = re.compile(
    r"\n\[Cut here: these are the first \d+ of (?P<total>\d+) characters\. To read on, "
    r'(?:call read_resource with \{"uri": "(?P<uri>[^"\s]+)", "start": \d+\}|call the tool [^\]]+)'
    r"\.\]\s*\Z"
)
_RESOURCE_HEADER = re.compile(
    r"\[resource (?P<uri>\S+) \([^)\n]*\)(?:, characters (?P<start>\d+) to [^\]]*)?\]\n"
)
"""First line of the output of read_resource."""


@dataclass(frozen=True, slots=True)
class CutText:
    """A text that can be truncated, and may have been truncated before."""

    kept: str
    """The text without its marker."""
    num_characters: int
    """Length of the complete text."""
    uri: str | None = None
    """URI at which ``read_resource`` reads the complete text; None if it is not stored."""
    offset: int = 0
    """Position of ``kept`` in the text at that URI."""

    @classmethod
    def read(cls, text: str) -> CutText:
        """Parse a text that may end with a ``cut_marker`` or be a part read by read_resource."""
        cut = _CUT.search(text, max(0, len(text) - _MAX_MARKER_CHARS))
        if cut is not None:
            return cls(text[: cut.start()], int(cut["total"]), cut["uri"])
        read = _RESOURCE_HEADER.match(text)
        if read is not None:
            return cls(text, len(text), read["uri"], int(read["start"] or 0) - read.end())
        return cls(text, len(text))

    def cut_marker(self, num_kept: int) -> str:
        """Return the marker to append to the first ``num_kept`` characters."""
        return (
            f"\n[Cut here: {self._extent(num_kept)} To read on, {self._how_to_continue(num_kept)}]"
        )

    def shortened_marker(self, num_kept: int) -> str:
        """Return the marker for an old text that is shortened to save space."""
        remedy = "make the call again." if self.uri is None else self._how_to_continue(num_kept)
        return f"\n[Shortened to save room: {self._extent(num_kept)} To see more, {remedy}]"

    def _extent(self, num_kept: int) -> str:
        return f"these are the first {num_kept} of {self.num_characters} characters."

    def _how_to_continue(self, num_kept: int) -> str:
        if self.uri is None:
            return (
                "call the tool again with other arguments: an offset, a page or a narrower request."
            )
        start = max(0, self.offset + num_kept)
        return f"call read_resource with {json.dumps({'uri': self.uri, 'start': start})}."
