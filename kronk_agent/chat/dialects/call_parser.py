"""Reads text with calls in it, as it is generated.

There are no guesses in it, because the grammar has already said what can come. It works in time
linear in the text and holds back only what may be the start of a mark, together with the blanks
before it, which belong to the mark. However the text is split, the deltas add up to the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping

from kronk_agent.chat.dialects.call_format import CallFormat
from kronk_agent.chat.marks import BlankTrimmer, JsonObjectEnd, MarkFinder
from kronk_agent.messages import (
    Delta,
    TextDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)

_NAME_START = re.compile(r"[A-Za-z0-9_-]*")
_MAX_NAME_LENGTH = 64


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class CallParser:
    """Turns text into text and call deltas; ``new_id`` makes the id of each call."""

    def __init__(self, format: CallFormat, new_id: Callable[[], str] = new_call_id) -> None:
        self.num_calls = 0
        """Complete calls so far."""
        self.is_inside_call = False
        """Has a call begun that is not complete?"""
        self._format = format
        self._new_id = new_id
        self._index = -1
        """Of the call that began last."""
        self._deltas: list[Delta] = []
        self._read: Callable[[str], str] = self._read_text
        """Reads some of the text and returns what is left for the next state."""
        self._trigger = MarkFinder(format.trigger)
        self._blanks = BlankTrimmer()
        self._expected: Mapping[str, Callable[[], None]] = {}
        """Marks that may be next, without blanks, and what to do when one is complete."""
        self._matched = ""
        """What is read of a mark, without blanks."""
        self._pending: list[str] = []
        """What is read but not in any delta: part of a call, or else text after all."""
        self._name = ""
        self._arguments_end = JsonObjectEnd()

    def push(self, text: str) -> list[Delta]:
        """The deltas this text adds."""
        while text:
            text = self._read(text)
        return self._take_deltas()

    def finish(self) -> list[Delta]:
        """The deltas of what was held back; a call that was cut off gets no ``ToolCallEnd``."""
        if self._read == self._read_text:
            self._emit_text(self._blanks.push(self._trigger.flush()) + self._blanks.flush())
        return self._take_deltas()

    def _read_text(self, text: str) -> str:
        clear, rest = self._trigger.push(text)
        self._emit_text(self._blanks.push(clear))
        if rest is None:
            return ""
        self._blanks.flush()
        self._pending = [self._format.trigger]
        self.is_inside_call = True
        self._expect({self._format.begin.removeprefix(self._format.trigger): self._begin_name})
        return rest

    def _expect(self, marks: Mapping[str, Callable[[], None]]) -> None:
        self._expected = {"".join(mark.split()): action for mark, action in marks.items()}
        self._matched = ""
        self._read = self._read_mark
        if "" in self._expected:
            self._expected[""]()

    def _read_mark(self, text: str) -> str:
        for num_read, character in enumerate(text, start=1):
            self._pending.append(character)
            if character.isspace():
                continue
            self._matched += character
            if not any(mark.startswith(self._matched) for mark in self._expected):
                return self._give_up() + text[num_read:]
            self.is_inside_call = True
            if self._matched in self._expected:
                self._expected[self._matched]()
                return text[num_read:]
        return ""

    def _give_up(self) -> str:
        """No call after all: the first character is text, and what follows is to be read anew."""
        pending = "".join(self._pending)
        self._emit_text(pending[0])
        self._begin_text()
        return pending[1:]

    def _begin_text(self) -> None:
        self.is_inside_call = False
        self._read = self._read_text

    def _begin_name(self) -> None:
        self._name = ""
        self._read = self._read_name

    def _read_name(self, text: str) -> str:
        match = _NAME_START.match(text)
        assert match is not None, "matches the empty text"
        self._name += match.group()
        self._pending.append(match.group())
        rest = text[match.end() :]
        if rest or len(self._name) > _MAX_NAME_LENGTH:
            self._expect({self._format.arguments_begin + "{": self._begin_arguments})
        return rest

    def _begin_arguments(self) -> None:
        self._index += 1
        self._deltas += [
            ToolCallStart(self._index, self._new_id(), self._name),
            ToolCallArguments(self._index, "{"),
        ]
        self._arguments_end = JsonObjectEnd()
        self._read = self._read_arguments

    def _read_arguments(self, text: str) -> str:
        end = self._arguments_end.find(text)
        self._deltas.append(ToolCallArguments(self._index, text[:end]))
        if end is None:
            return ""
        self._pending = []
        self._expect({self._format.call_end: self._end_call})
        return text[end:]

    def _end_call(self) -> None:
        self._deltas.append(ToolCallEnd(self._index))
        self.num_calls += 1
        self._pending = []
        self.is_inside_call = False
        following = {self._format.next_begin: self._begin_name}
        if self._format.section_end:
            following[self._format.section_end] = self._begin_text
        self._expect(following)

    def _emit_text(self, text: str) -> None:
        if text:
            self._deltas.append(TextDelta(text))

    def _take_deltas(self) -> list[Delta]:
        deltas, self._deltas = self._deltas, []
        return deltas
