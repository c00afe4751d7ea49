"""UTF-8 that is decoded a whole line at a time, under the name a server's output is read by.

The SDK's stdio client joins what it has of a line with every chunk that comes, and looks through
all of it again: a line of 20 MB takes seconds, and every other server waits for a third of one.
It lets its caller name the encoding, and a decoder may keep what is not complete yet. With this one
the SDK only ever sees whole lines, and the time grows with their length and not with its square.
"""

from __future__ import annotations

import codecs

UTF_8_LINES = "utf-8-lines"
"""To be named as an encoding, after ``register``."""


class LineDecoder(codecs.IncrementalDecoder):
    """Gives nothing until a line is complete. Newlines are bytes of their own in UTF-8."""

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._begun: list[bytes] = []

    def decode(self, input: bytes, final: bool = False) -> str:  # type: ignore[override]
        lines, newline, rest = input.rpartition(b"\n")
        if not newline and not final:
            self._begun.append(input)
            return ""
        complete = b"".join((*self._begun, lines, newline, rest if final else b""))
        self._begun = [] if final else [rest]
        return complete.decode("utf-8", self.errors)

    def reset(self) -> None:
        self._begun = []


def register() -> None:
    """Make the encoding known to Python; once is enough, and more do no harm."""
    codecs.register(_find)


def _find(name: str) -> codecs.CodecInfo | None:
    if name not in (UTF_8_LINES, UTF_8_LINES.replace("-", "_")):
        return None
    utf_8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(
        utf_8.encode, utf_8.decode, incrementaldecoder=LineDecoder, name=UTF_8_LINES
    )
