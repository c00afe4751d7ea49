"""Reader for text that arrives in chunks; parsers are generators that yield when they need more.

Such a parser is written as if it had all the text, takes time linear in the text, and returns the
same result however the text is split: it decides nothing before the text it depends on has arrived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Reading: TypeAlias = Generator[None, None, T]
"""Generator that yields while it waits for text, and returns the result."""
Emit: TypeAlias = Callable[[str], object]

_BLANKS = re.compile(r"\s*")
_STRING_STOP = re.compile(r'["\\]')
_STRUCTURE = re.compile(r'["{}\[\]]')


class Delimiters:
    """Texts to search for. If several match at one position, the longest wins."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted({text for text in texts if text}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._texts)) or r"(?!)")
        self._longest = max(map(len, self._texts), default=0)

    def find(self, text: str, start: int) -> re.Match[str] | None:
        """Return the first match at or after ``start``; None without a match."""
        return self._pattern.search(text, start)

    def possible_start(self, text: str, start: int) -> int:
        """Return where a delimiter cut off by the end of the text may start; else its length."""
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            tail = text[at:]
            if any(
                len(delimiter) > len(tail) and delimiter.startswith(tail)
                for delimiter in self._texts
            ):
                return at
        return len(text)


class StreamReader:
    """Text of one turn: what has arrived and has not been read."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._held: dict[int, int] = {}
        """Position of each checkpoint, for ``rewind``."""
        self._num_checkpoints = 0
        self.is_over = False
        """True once all text has arrived."""
        self.is_cut = False
        """True if the text ended before the model had finished."""
        self.ran_out = False
        """True if a parser needed more text at the end."""

    def push(self, text: str) -> None:
        """Add text, and drop text that no checkpoint can go back to."""
        read = min([self._at, *self._held.values()])
        self._text = self._text[read:] + text
        self._at -= read
        self._held = {checkpoint: at - read for checkpoint, at in self._held.items()}

    def close(self, *, is_cut: bool = False) -> None:
        """Mark the end of the text; ``is_cut`` says that the model had not finished."""
        self.is_over = True
        self.is_cut = is_cut

    @property
    def was_cut_off(self) -> bool:
        """True if a parser needed more text and the model had not finished."""
        return self.is_cut and self.ran_out

    def unread(self, text: str) -> None:
        """Insert text at the current position. Not allowed while a checkpoint is set."""
        self._text = text + self._text[self._at :]
        self._at = 0

    # --- going back ----------------------------------------------------------------------------

    def hold(self) -> int:
        """Set a checkpoint, to which ``rewind`` goes back."""
        self._num_checkpoints += 1
        self._held[self._num_checkpoints] = self._at
        return self._num_checkpoints

    def rewind(self, checkpoint: int) -> None:
        """Go back to a checkpoint and remove it. Not allowed after ``commit``."""
        self._at = self._held.pop(checkpoint)

    def release(self, checkpoint: int) -> str:
        """Remove a checkpoint without going back; return the text read since."""
        return self._text[self._held.pop(checkpoint) : self._at]

    def commit(self) -> None:
        """Remove all checkpoints."""
        self._held.clear()

    # --- reading -------------------------------------------------------------------------------

    def is_at_end(self) -> Reading[bool]:
        """Return true if all text is read and no more will arrive."""
        while self._at == len(self._text) and not self.is_over:
            yield
        return self._at == len(self._text)

    def peek(self, length: int) -> Reading[str]:
        """Return the next ``length`` characters without reading them; fewer only at the end."""
        while len(self._text) - self._at < length and not self.is_over:
            yield
        self.ran_out = self.ran_out or len(self._text) - self._at < length
        return self._text[self._at : self._at + length]

    def take(self, delimiter: str) -> Reading[bool]:
        """Read a delimiter if it comes next, exactly; false otherwise."""
        for length in range(1, len(delimiter) + 1):
            if self._text.startswith(delimiter, self._at):
                break
            if (yield from self.peek(length)) != delimiter[:length]:
                return False
        self._at += len(delimiter)
        return True

    def take_loosely(self, delimiter: str) -> Reading[bool]:
        """Read a delimiter if it comes next, ignoring blanks in the text and in the delimiter."""
        checkpoint = self.hold()
        for character in delimiter:
            if character.isspace():
                continue
            yield from self.take_blanks()
            if not (yield from self.take(character)):
                self.rewind(checkpoint)
                return False
        self.release(checkpoint)
        return True

    def take_blanks(self) -> Reading[str]:
        """Read and return blanks, if any."""
        blanks: list[str] = []
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match is not None, "matches the empty text"
            self._at = match.end()
            blanks.append(match.group())
            if (yield from self.is_at_end()) or not self._text[self._at].isspace():
                return "".join(blanks)

    def take_one(self) -> str:
        """Read one character, which must have arrived."""
        self._at += 1
        return self._text[self._at - 1]

    def take_all(self, pattern: re.Pattern[str]) -> Reading[str]:
        """Read characters while they match a pattern for single characters."""
        found: list[str] = []
        while not (yield from self.is_at_end()) and pattern.match(self._text, self._at):
            found.append(self.take_one())
        return "".join(found)

    def until(self, delimiters: Delimiters, emit: Emit) -> Reading[str | None]:
        """Emit text up to the first delimiter, and read that; None if the text ends first."""
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
        """Emit an object, array or string as it arrives; false if none starts or it is cut off."""
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
        """Read the rest of a JSON string whose opening quote has been read."""
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
