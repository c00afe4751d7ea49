"""Truncation of long results, and storage of the full text for ``read_resource``."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import replace

from kronk_agent.messages import Part, TextPart
from kronk_agent.tools import ToolOutput
from kronk_agent.tools.cut_marker import CutText

MAX_KEPT_CHARACTERS = 64_000_000
"""Limit for all stored texts together; the oldest are dropped."""
SCHEME = "output://"

_LETTERS = "bcdfghjkmnpqrstvwxz"
"""They form no words, and none looks like another."""
_NUM_LETTERS = 10
"""About 42 bits: one caller cannot guess another's address, and a small model can copy it."""


class ResultStore:
    """Full texts of truncated results, by address, for the lifetime of a host."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._texts)

    def get(self, uri: str) -> str | None:
        """Return the stored text; None if it is unknown or was dropped."""
        return self._texts.get(uri)

    def cut(self, server: str, output: ToolOutput, max_tokens: int) -> ToolOutput:
        """Truncate the output's text to about ``max_tokens``, and store the full text."""
        texts = [part.text for part in output.content if isinstance(part, TextPart)]
        whole = "\n".join(texts)
        end = end_of_tokens(whole, 0, max_tokens)
        if end == len(whole):
            return output
        uri = self._keep(server, whole)
        marker = CutText(whole, len(whole), uri).cut_marker(end)
        others: list[Part] = [part for part in output.content if not isinstance(part, TextPart)]
        return replace(output, content=(TextPart(whole[:end] + marker), *others))

    def _keep(self, server: str, text: str) -> str:
        name = "".join(secrets.choice(_LETTERS) for _ in range(_NUM_LETTERS))
        uri = f"{SCHEME}{server}/{name}"
        self.store(uri, text)
        return uri

    def store(self, uri: str, text: str) -> None:
        """Store a text under the given address."""
        self._texts[uri] = text
        self._texts.move_to_end(uri)
        while len(self._texts) > 1 and self._size() > MAX_KEPT_CHARACTERS:
            self._texts.popitem(last=False)

    def _size(self) -> int:
        return sum(len(text) for text in self._texts.values())


def end_of_tokens(text: str, start: int, max_tokens: int) -> int:
    """Position after about ``max_tokens``: a token is four ASCII characters or one other.

    An estimate, since a tokenizer may not be available.
    """
    if text.isascii():
        return min(len(text), start + 4 * max_tokens)
    quarters = 4 * max_tokens
    for position in range(start, len(text)):
        quarters -= 1 if text[position] < "\x80" else 4
        if quarters < 0:
            return position
    return len(text)
