"""Text that arrives in chunks, read by generators that yield whenever they need more of it.

A parser written this way reads from top to bottom like one that has all the text, takes time
linear in it, and finds the same however it was split: nothing is decided before what it depends on
is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Reading: TypeAlias = Generator[None, None, T]
"""Yields when there is no more text yet, and returns what was read."""
Emit: TypeAlias = Callable[[str], object]

_BLANKS = re.compile(r"\s*")
_STRING_STOP = re.compile(r'["\\]')
_STRUCTURE = re.compile(r'["{}\[\]]')


class Delimiters:
    """Texts to look for. Where several begin at one place, the longest counts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted({text for text in texts if text}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")
        self._longest = max(map(len, self._texts), default=0)

    def find(self, text: str, start: int) -> re.Match[str] | None:
        return self._pattern.search(text, start)

    def possible_start(self, text: str, start: int) -> int:
        """Where the end of a text may be the start of a mark; the text's length if nowhere."""
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            tail = text[at:]
            if any(
                len(delimiter) > len(tail) and delimiter.startswith(tail)
                for delimiter in self._texts
            ):
                return at
        return len(text)


class StreamReader:
    """The text of one turn, as far as it has come and has not been read."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._held: dict[int, int] = {}
        """Where ``rewind`` goes back to, by checkpoint."""
        self._num_checkpoints = 0
        self.is_over = False
        """Nothing follows any more."""
        self.is_cut = False
        """It ended before the model had finished."""
        self.ran_out = False
        """Did somebody want to read on at the end?"""

    def push(self, text: str) -> None:
        read = min([self._at, *self._held.values()])
        self._text = self._text[read:] + text
        self._at -= read
        self._held = {checkpoint: at - read for checkpoint, at in self._held.items()}

    def close(self, *, is_cut: bool = False) -> None:
        self.is_over = True
        self.is_cut = is_cut

    @property
    def was_cut_off(self) -> bool:
        """Did somebody want to read on where the model would have?"""
        return self.is_cut and self.ran_out

    def unread(self, text: str) -> None:
        """Put text before what comes next. Not while there are checkpoints."""
        self._text = text + self._text[self._at :]
        self._at = 0

    # --- going back ----------------------------------------------------------------------------

    def hold(self) -> int:
        """A checkpoint: what is read from here on can be read again."""
        self._num_checkpoints += 1
        self._held[self._num_checkpoints] = self._at
        return self._num_checkpoints

    def rewind(self, checkpoint: int) -> None:
        """Go back to a checkpoint, which is gone then. Not after ``commit``."""
        self._at = self._held.pop(checkpoint)

    def release(self, checkpoint: int) -> str:
        """Go on, and forget the checkpoint; returns what was read since."""
        return self._text[self._held.pop(checkpoint) : self._at]

    def commit(self) -> None:
        """There is no going back to anywhere before here."""
        self._held.clear()

    # --- reading -------------------------------------------------------------------------------

    def is_at_end(self) -> Reading[bool]:
        """Is all text read, and nothing follows?"""
        while self._at == len(self._text) and not self.is_over:
            yield
        return self._at == len(self._text)

    def peek(self, length: int) -> Reading[str]:
        """The next characters; fewer only at the end."""
        while len(self._text) - self._at < length and not self.is_over:
            yield
        self.ran_out = self.ran_out or len(self._text) - self._at < length
        return self._text[self._at : self._at + length]

    def take(self, delimiter: str) -> Reading[bool]:
        """Read a mark if the text goes on with exactly it."""
        for length in range(1, len(delimiter) + 1):
            if self._text.startswith(delimiter, self._at):
                break
            if (yield from self.peek(length)) != delimiter[:length]:
                return False
        self._at += len(delimiter)
        return True

    def take_loosely(self, delimiter: str) -> Reading[bool]:
        """The same, whatever blanks there are in the text or in the mark."""
        checkpoint = self.hold()
        for sign in delimiter:
            if sign.isspace():
                continue
            yield from self.take_blanks()
            if not (yield from self.take(sign)):
                self.rewind(checkpoint)
                return False
        self.release(checkpoint)
        return True

    def take_blanks(self) -> Reading[str]:
        """Read blanks, if there are any."""
        blanks: list[str] = []
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match is not None, "matches the empty text"
            self._at = match.end()
            blanks.append(match.group())
            if (yield from self.is_at_end()) or not self._text[self._at].isspace():
                return "".join(blanks)

    def take_one(self) -> str:
        """Read one character, which must be there."""
        self._at += 1
        return self._text[self._at - 1]

    def take_all(self, pattern: re.Pattern[str]) -> Reading[str]:
        """Read as many characters as match a pattern for single ones."""
        found: list[str] = []
        while not (yield from self.is_at_end()) and pattern.match(self._text, self._at):
            found.append(self.take_one())
        return "".join(found)

    def until(self, delimiters: Delimiters, emit: Emit) -> Reading[str | None]:
        """Emit what comes before the first mark, and read both; None if the text ends before."""
        while True:
            found = delimiters.find(self._text, self._at)
            limit = (
                len(self._text) if self.is_over else delimiters.possible_start(self._text, self._at)
            )
            if found is not None and found.start() < limit:
                self._emit_to(found.start(), emit)
                self._at = found.end()
                return found.group()
            self._emit_to(limit, emit)
            if self.is_over:
                self.ran_out = True
                return None
            yield

    def json_value(self, emit: Emit) -> Reading[bool]:
        """Emit an object, an array or a string as it comes; False if none begins or it is cut."""
        first = yield from self.peek(1)
        if first == '"':
            self._emit_to(self._at + 1, emit)
            return (yield from self._string(emit))
        if first not in ("{", "["):
            return False
        depth = 0
        while True:
            match = _STRUCTURE.search(self._text, self._at)
            self._emit_to(len(self._text) if match is None else match.end(), emit)
            if match is None:
                if (yield from self.is_at_end()):
                    self.ran_out = True
                    return False
                continue
            if match.group() == '"':
                if not (yield from self._string(emit)):
                    return False
                continue
            depth += 1 if match.group() in "{[" else -1
            if depth == 0:
                return True

    def _string(self, emit: Emit) -> Reading[bool]:
        """The rest of a JSON string whose opening quote has been read."""
        while True:
            match = _STRING_STOP.search(self._text, self._at)
            if match is None:
                self._emit_to(len(self._text), emit)
                if (yield from self.is_at_end()):
                    self.ran_out = True
                    return False
            elif match.group() == '"':
                self._emit_to(match.end(), emit)
                return True
            else:
                self._emit_to(match.start(), emit)
                if len((yield from self.peek(2))) < 2:
                    return False
                self._emit_to(self._at + 2, emit)

    def _emit_to(self, end: int, emit: Emit) -> None:
        if end > self._at:
            emit(self._text[self._at : end])
            self._at = end
