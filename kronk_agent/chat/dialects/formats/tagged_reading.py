"""Parser of one call whose name is between delimiters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kronk_agent.chat.dialects.formats.arguments import (
    ArgumentDelimiters,
    ArgumentsReader,
    take_blank_tail,
)
from kronk_agent.chat.dialects.formats.call_format import ID, INDEX, Tools, without_slots
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Reading, StreamReader

if TYPE_CHECKING:
    from kronk_agent.chat.dialects.formats.tagged_calls import TaggedCalls

_LONGEST_HEAD: Final = 400
WORDS_BEFORE_NAME: Final = re.compile(r"(?<=[>\]])[\w.]+\Z")
"""Text that Kimi K2 writes between delimiter and name, but not always: ``functions.``"""


class CallReader:
    """Parses one call, from its name on."""

    def __init__(
        self, format: TaggedCalls, reader: StreamReader, output: Output, tools: Tools
    ) -> None:
        self.has_begun = False
        """True once the call was emitted; it cannot be taken back."""
        self._format = format
        self._reader = reader
        self._output = output
        self._tools = tools
        self._is_self_closed = False

    def read(self) -> Reading[bool]:
        """Read a call; true if it is complete."""
        if self._format.arguments is None:
            return (yield from self._read_with_json())
        return (yield from self._read_with_arguments(self._format.arguments))

    def _read_with_json(self) -> Reading[bool]:
        format, reader = self._format, self._reader
        pieces = without_slots(format.before_arguments)
        last = pieces[-1].strip() if pieces else ""
        name = yield from self._read_name([last] if last else ["{"], keeps=not last)
        if name is None:
            return False
        yield from reader.take_blanks()
        if (yield from reader.peek(1)) != "{":
            return False
        self._begin(name)
        if not (yield from reader.json_value(self._output.arguments)):
            return False
        if (yield from reader.take_loosely(format.after_arguments)):
            self._output.end_call()
            return True
        if not format.after_arguments.strip() or (yield from self._is_call_over()):
            self._output.end_call()
            return True
        return False

    def _is_call_over(self) -> Reading[bool]:
        """Return true if the model left out the closing delimiter.

        That is so if the turn ends, the next call starts or the section ends.
        """
        checkpoint = self._reader.hold()
        yield from self._reader.take_blanks()
        is_over = (yield from self._reader.is_at_end()) and not self._reader.is_cut
        for delimiter in (self._format.before_name, self._format.section_end):
            tag = without_slots(delimiter)[0].strip() if without_slots(delimiter) else ""
            ahead = yield from self._reader.peek(len(tag))
            is_over = is_over or (tag != "" and ahead == tag)
        self._reader.rewind(checkpoint)
        return is_over

    def _read_with_arguments(self, delimiters: ArgumentDelimiters) -> Reading[bool]:
        format, reader = self._format, self._reader
        closing = format.after_arguments.strip()
        pieces = without_slots(format.before_arguments)
        last = pieces[-1].strip() if pieces else ""
        ends = [last] if last else [delimiters.key_begin.strip(), closing]
        name = yield from self._read_name([*ends, *_self_closed(last)], keeps=not last)
        if name is None:
            return False
        self._begin(name)
        if self._is_self_closed:
            self._output.arguments("{}")
            self._output.end_call()
            return True
        yield from take_blank_tail(reader, format.before_arguments)
        arguments = ArgumentsReader(delimiters, closing, reader, self._output, self._tools[name])
        if not (yield from arguments.read()):
            return False
        self._output.end_call()
        return True

    def _read_name(self, ends: Sequence[str], *, keeps: bool) -> Reading[str | None]:
        """Read the name up to one of the delimiters, which stays unread if ``keeps`` is set."""
        reader = self._reader
        head: list[str] = []
        while True:
            ahead = yield from reader.peek(1)
            if ahead == "" or sum(map(len, head)) > _LONGEST_HEAD:
                return None
            checkpoint = reader.hold()
            found = yield from _taken(reader, ends)
            if found is not None:
                break
            reader.release(checkpoint)
            head.append(reader.take_one())
        if keeps:
            reader.rewind(checkpoint)
        else:
            reader.release(checkpoint)
        self._is_self_closed = found.endswith("/>")
        return self._offered("".join(head))

    def _offered(self, head: str) -> str | None:
        """Return the name in the text before the arguments; None if no tool has it."""
        pieces = without_slots(self._format.before_arguments)
        if len(pieces) > 1 or self._format.before_arguments.startswith((INDEX, ID)):
            head = head.partition(pieces[0].strip())[0]
        head = head.strip()
        words = WORDS_BEFORE_NAME.search(self._format.before_name)
        if words is not None and head not in self._tools:
            head = head.removeprefix(words.group())
        return head if head in self._tools else None

    def _begin(self, name: str) -> None:
        self.has_begun = True
        self._reader.commit()
        self._output.begin_call(name)


def _taken(reader: StreamReader, delimiters: Sequence[str]) -> Reading[str | None]:
    """Read and return the first of the delimiters that comes next; None if none does."""
    for delimiter in delimiters:
        if (yield from reader.take_loosely(delimiter)):
            return delimiter
    return None


def _self_closed(delimiter: str) -> tuple[str, ...]:
    """Return the alternative end of a tag without arguments: ``"/>`` for ``">``."""
    return (f"{delimiter[:-1]}/>",) if delimiter.endswith('">') else ()
