"""Calls as JSON objects with a name and arguments, alone or in a list, between delimiters.

Hermes, Qwen 2.5 and 3, Granite 4, Mistral Nemo, Command R, Llama 3, Firefunction, Apriel … The
delimiters come from the template (``analysis.py``). Objects are parsed by structure, so other
blanks, key orders and additional keys are accepted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects.formats.call_format import (
    Tools,
    filled,
    one_of,
    optional_newline_delimiter,
    repeated,
    slotted,
)
from kronk_agent.chat.dialects.grammar.lark import Lark
from kronk_agent.chat.dialects.grammar.schema import arguments_schema
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Reading, StreamReader
from kronk_agent.messages import ToolCall

_SCALAR: Final = re.compile(r"[^\s,}\]]")
_ARGUMENT_KEYS: Final = ("arguments", "parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCalls:
    """JSON calls and their delimiters.

    The calls of a turn are ``section_begin call (separator call)* section_end``, and a call is
    ``before_name NAME before_arguments {…} after_arguments``.
    """

    trigger: str
    """Start of ``section_begin + before_name`` up to the JSON; the first brace if nothing precedes
    it."""
    section_begin: str = ""
    before_name: str
    before_arguments: str
    after_arguments: str
    separator: str = ""
    section_end: str = ""
    name_key: str = "name"
    arguments_key: str = "arguments"
    first_index: int = 0
    starts_turn: bool = False
    """True if nothing precedes the JSON, so only a turn that starts with JSON is a call."""
    other_triggers: tuple[str, ...] = ()
    """Further texts that may precede the JSON."""

    @property
    def triggers(self) -> tuple[str, ...]:
        """All triggers, the template's first."""
        return (self.trigger, *self.other_triggers)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as the template does."""
        written = (
            filled(f"{self.before_name}{call.name}{self.before_arguments}", i, call.id)
            + call.arguments
            + filled(self.after_arguments, i, call.id)
            for i, call in enumerate(calls, self.first_index)
        )
        return f"{self.section_begin}{self.separator.join(written)}{self.section_end}"

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for the calls after their trigger."""
        names = []
        for i, tool in enumerate(tools.values()):
            schema = lark.json(arguments_schema(tool))
            head = slotted(lark, tool.name + self.before_arguments)
            names.append(lark.add(f"call_{i}", f"{head} {schema}"))
        call = one_of(lark, names, "call")
        opening = self._opening if trigger == self.trigger else self.before_name
        after = optional_newline_delimiter(lark, self.after_arguments)
        separator = slotted(lark, self.separator)
        following = f"{separator} {slotted(lark, self.before_name)} {call} {after}"
        calls = repeated(f"{call} {after}", following, max_calls, separator)
        return (
            f"{slotted(lark, opening)} {calls} {optional_newline_delimiter(lark, self.section_end)}"
        )

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read the calls after their trigger; false if none follow."""
        start = reader.hold()
        if trigger == "{":
            if (yield from self._read_bare(reader, output, tools)):
                return True
            reader.rewind(start)
            return False
        yield from self._skip_to_json(reader)
        is_list = yield from reader.take("[")
        has_begun = False
        while True:
            yield from reader.take_blanks()
            call = _ObjectReader(self, reader, output, tools)
            is_whole = yield from call.read()
            has_begun = has_begun or call.has_begun
            if not is_whole:
                break
            reader.ran_out = False
            if (yield from self._take_end(reader, is_list=False)) or not reader.was_cut_off:
                output.end_call()
            if is_list:
                follows = yield from reader.take_loosely(",")
            else:
                follows = yield from self._take_next(reader)
            if not follows:
                break
        if not has_begun:
            reader.rewind(start)
            return False
        if is_list:
            yield from reader.take_loosely("]")
            yield from self._take_end(reader, is_list=True)
        elif self.section_end.strip():
            yield from reader.take_loosely(self.section_end)
        return True

    def _read_bare(self, reader: StreamReader, output: Output, tools: Tools) -> Reading[bool]:
        """Read consecutive objects; the brace of the first has been read."""
        has_begun = False
        while True:
            call = _ObjectReader(self, reader, output, tools, is_bare=not has_begun)
            is_whole = yield from call.read_after_brace()
            has_begun = has_begun or call.has_begun
            if is_whole:
                output.end_call()
            if not is_whole or not (yield from self._take_next(reader)):
                return has_begun
            yield from reader.take("{")

    def _take_next(self, reader: StreamReader) -> Reading[bool]:
        """Read the text between two calls of a section; true if another call follows."""
        if self.trigger != "{" and self.before_name.startswith(self.trigger):
            return False  # the next call is found by its trigger
        start = reader.hold()
        yield from reader.take_loosely(self.separator + self.before_name.partition("{")[0])
        yield from reader.take_blanks()
        if (yield from reader.peek(1)) == "{":
            reader.release(start)
            return True
        reader.rewind(start)
        return False

    def _skip_to_json(self, reader: StreamReader) -> Reading[None]:
        """Skip the text between the trigger and the first bracket."""
        yield from reader.take_loosely(re.split(r"[\[{]", self._opening, maxsplit=1)[0])
        yield from reader.take_blanks()

    @property
    def _opening(self) -> str:
        """Text between the trigger and the first name."""
        return (self.section_begin + self.before_name).removeprefix(self.trigger)

    @property
    def _call_end(self) -> str:
        """Text after the object of a call."""
        depth = self.before_name.removeprefix(self.trigger).count("{")
        return self.after_arguments.split("}", depth)[-1]

    def _take_end(self, reader: StreamReader, *, is_list: bool) -> Reading[bool]:
        """Read the delimiter after the JSON; false if it is missing."""
        delimiter = self.section_end.rpartition("]")[2] if is_list else self._call_end
        return (yield from reader.take_loosely(delimiter))


class _ObjectReader:
    """Parses one object."""

    def __init__(
        self,
        format: JsonCalls,
        reader: StreamReader,
        output: Output,
        tools: Tools,
        *,
        is_bare: bool = False,
    ) -> None:
        self.has_begun = False
        """True once the call was emitted; it cannot be taken back."""
        self._format = format
        self._reader = reader
        self._output = output
        self._tools = tools
        self._is_bare = is_bare
        """True if only its members show that the object is a call."""
        self._name: str | None = None
        self._has_arguments = False
        self._held: list[str] = []
        """Arguments that arrived before the name."""

    def read(self) -> Reading[bool]:
        """Read an object; true if it is a complete call."""
        if not (yield from self._reader.take("{")):
            return False
        return (yield from self.read_after_brace())

    def read_after_brace(self) -> Reading[bool]:
        """Read an object whose opening brace has been read."""
        if not (yield from self._read_members()) or not self._is_offered:
            return False
        if self._is_bare and not self.has_begun and not self._held:
            return False  # any object may have a name
        if not self.has_begun:
            self._begin()
        if not self._has_arguments:
            self._output.arguments("".join(self._held) or "{}")
        return True

    @property
    def _is_offered(self) -> bool:
        return self._name in self._tools

    def _read_members(self) -> Reading[bool]:
        """Read members up to the closing brace."""
        while True:
            yield from self._reader.take_blanks()
            if (yield from self._reader.take("}")):
                return True
            if (yield from self._reader.take(",")):
                continue
            key: list[str] = []
            if (yield from self._reader.peek(1)) != '"':
                return False
            if not (yield from self._reader.json_value(key.append)):
                return False
            if not (yield from self._reader.take_loosely(":")):
                return False
            yield from self._reader.take_blanks()
            if not (yield from self._read_value(_text("".join(key)))):
                return False

    def _read_value(self, key: str) -> Reading[bool]:
        if key == "function" and (yield from self._reader.take("{")):
            return (yield from self._read_members())
        if key in (self._format.name_key, "name"):
            value: list[str] = []
            if not (yield from self._reader.json_value(value.append)):
                return False
            self._name = self._name or _text("".join(value))
            if self._is_offered and not self._is_bare and not self.has_begun:
                self._begin()
            return self._is_offered
        if key in (self._format.arguments_key, *_ARGUMENT_KEYS):
            return (yield from self._read_arguments())
        return (yield from self._skip_value())

    def _read_arguments(self) -> Reading[bool]:
        first = yield from self._reader.peek(1)
        if first == '"':  # a string that contains JSON
            value: list[str] = []
            if not (yield from self._reader.json_value(value.append)):
                return False
            self._held.append(_text("".join(value)))
            return True
        if first != "{":
            return False
        if self._name is None or self._held:
            return (yield from self._reader.json_value(self._held.append))
        if not self.has_begun:
            self._begin()
        self._has_arguments = True
        return (yield from self._reader.json_value(self._output.arguments))

    def _begin(self) -> None:
        assert self._name is not None
        self.has_begun = True
        self._reader.commit()
        self._output.begin_call(self._name)

    def _skip_value(self) -> Reading[bool]:
        if (yield from self._reader.peek(1)) in ("{", "[", '"'):
            return (yield from self._reader.json_value(lambda _: None))
        return (yield from self._reader.take_all(_SCALAR)) != ""


def _text(literal: str) -> str:
    """Return the value of a JSON string literal; empty if it is invalid."""
    try:
        return str(json.loads(literal))
    except ValueError:
        return ""
