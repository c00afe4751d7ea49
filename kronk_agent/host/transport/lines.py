"""Incremental UTF-8 decoder that only returns complete lines, registered as a codec.

The SDK's stdio client joins a partial line with every new chunk and scans all of it again: a line
of 20 MB takes seconds, and blocks every other server for about a third of a second at a time. The
SDK lets its caller choose the encoding, and a decoder may hold back incomplete input. With this
codec the SDK only sees complete lines, and the time is linear in their length instead of quadratic.
"""

from __future__ import annotations

import codecs

UTF_8_LINES = "utf-8-lines"
"""Name of the encoding; call ``register`` before using it."""


class LineDecoder(codecs.IncrementalDecoder):
    """Holds back input until a line is complete. In UTF-8 a newline byte is always a newline."""

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._partial: list[bytes] = []

    def decode(self, input: bytes, final: bool = False) -> str:  # type: ignore[override]
        """Return the complete lines; the rest is kept for the next call."""
        lines, newline, rest = input.rpartition(b"\n")
        if not newline and not final:
            self._partial.append(input)
            return ""
        complete = b"".join((*self._partial, lines, newline, rest if final else b""))
        self._partial = [] if final else [rest]
        return complete.decode("utf-8", self.errors)

    def reset(self) -> None:
        """Discard an incomplete line."""
        self._partial = []


def register() -> None:
    """Register the encoding with Python; safe to call again."""
    codecs.register(_find)


def _find(name: str) -> codecs.CodecInfo | None:
    if name not in (UTF_8_LINES, UTF_8_LINES.replace("-", "_")):
        return None
    utf_8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(
        utf_8.encode, utf_8.decode, incrementaldecoder=LineDecoder, name=UTF_8_LINES
    )
