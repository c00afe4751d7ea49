"""Calls in Python's notation: ``[name(key="text", other=1), …]``.

Sources: Liquid AI's documentation of tool use with LFM2 and LFM2.5 (the list is between
``<|tool_call_start|>`` and ``<|tool_call_end|>``; their chat templates do not render calls), and
Meta's prompt format of Llama 4 (the list is bare or between ``<|python_start|>`` and
``<|python_end|>``). Models of both families also write JSON's ``true``, ``false`` and ``null``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects.formats.call_format import Tools, one_of, repeated
from kronk_agent.chat.dialects.grammar.lark import Lark, quoted
from kronk_agent.chat.dialects.grammar.schema import enforced_schema
from kronk_agent.chat.dialects.grammar.structured import StructuredRules, dumped
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Emit, Reading, StreamReader
from kronk_agent.messages import JsonObject, JsonValue, ToolCall

_NAME: Final = re.compile(r"[\w.\-]")
_SCALAR: Final = re.compile(r"[^,\s()\[\]{}:]")
_WORDS: Final = {"True": "true", "False": "false", "None": "null"}
_STRING_KEYS: Final = ("minLength", "maxLength", "pattern", "format")


@dataclass(frozen=True, slots=True)
class PythonCalls:
    """List of calls in Python's notation, with or without delimiters."""

    begin: str = ""
    end: str = ""
    other_begin: str = ""
    """Alternative opening delimiter."""
    other_end: str = ""
    """Alternative closing delimiter."""

    @property
    def starts_turn(self) -> bool:
        """True without delimiters: only a turn that starts with such a list has calls."""
        return not self.begin

    @property
    def triggers(self) -> tuple[str, ...]:
        """The opening delimiter; without one, the bracket and the alternative delimiter."""
        if self.begin:
            return (self.begin,)
        return ("[", self.other_begin) if self.other_begin else ("[",)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls in Python's notation."""
        written = (
            f"{call.name}("
            + ", ".join(f"{k}={_python(v)}" for k, v in json.loads(call.arguments).items())
            + ")"
            for call in calls
        )
        return f"{self.begin}[{', '.join(written)}]{self.end}"

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for the calls after their trigger."""
        names = []
        for i, tool in enumerate(tools.values()):
            rules = StructuredRules(lark, PythonNotation(), tool.parameters, f"arguments_{i}")
            body = f"{quoted(tool.name + '(')} {rules.arguments()} {quoted(')')}"
            names.append(lark.add(f"call_{i}", body))
        call = one_of(lark, names, "call")
        comma = quoted(", ")
        calls = repeated(call, f"{comma} {call}", max_calls, comma)
        opening = "" if trigger == "[" else quoted("[")
        end = self.other_end if trigger == self.other_begin else self.end
        return f"{opening} {calls} {quoted(']')} {lark.exactly(end)}"

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read the calls after their trigger; false if none follow."""
        start = reader.hold()
        if trigger != "[":
            yield from reader.take_blanks()
            if not (yield from reader.take("[")):
                reader.rewind(start)
                return False
        has_begun = False
        while True:
            yield from reader.take_blanks()
            name = yield from reader.take_all(_NAME)
            yield from reader.take_blanks()
            if name not in tools or not (yield from reader.take("(")):
                break
            has_begun = True
            reader.commit()
            output.begin_call(name)
            if not (yield from read_arguments(reader, output.arguments)):
                return True
            output.end_call()
            if not (yield from reader.take_loosely(",")):
                break
        if not has_begun:
            reader.rewind(start)
            return False
        yield from reader.take_loosely("]")
        for end in (self.end, self.other_end):
            if end:
                yield from reader.take_loosely(end)
        return True


def _python(value: JsonValue) -> str:
    match value:
        case None | bool():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{dumped(k)}: {_python(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_python, value)) + "]"
        case _:
            return dumped(value)


def read_arguments(reader: StreamReader, emit: Emit) -> Reading[bool]:
    """Emit a call's arguments as a JSON object; false if they are cut off or invalid."""
    emit("{")
    is_first = True
    while True:
        yield from reader.take_blanks()
        if (yield from reader.take(")")):
            emit("}")
            return True
        if not is_first and not (yield from reader.take_loosely(",")):
            return False
        yield from reader.take_blanks()
        key = yield from reader.take_all(_NAME)
        if not key or not (yield from reader.take_loosely("=")):
            return False
        emit(("" if is_first else ", ") + f"{dumped(key)}: ")
        if not (yield from _read_value(reader, emit)):
            return False
        is_first = False


def _read_value(reader: StreamReader, emit: Emit) -> Reading[bool]:
    """Read a value and emit it as JSON; strings and scalars are emitted whole."""
    yield from reader.take_blanks()
    first = yield from reader.peek(1)
    if first in ("'", '"'):
        text = yield from _read_string(reader)
        if text is None:
            return False
        emit(dumped(text))
        return True
    if first in ("[", "{", "("):
        return (yield from _read_items(reader, emit, reader.take_one()))
    word = yield from reader.take_all(_SCALAR)
    if not word or (yield from reader.is_at_end()):
        return False
    emit(_WORDS.get(word, word))
    return True


def _read_items(reader: StreamReader, emit: Emit, begin: str) -> Reading[bool]:
    end = {"[": "]", "{": "}", "(": ")"}[begin]
    emit("{" if begin == "{" else "[")
    is_first = True
    while True:
        yield from reader.take_blanks()
        if (yield from reader.take(end)):
            emit("}" if begin == "{" else "]")
            return True
        if not is_first:
            if not (yield from reader.take(",")):
                return False
            yield from reader.take_blanks()
            if (yield from reader.peek(1)) == end:  # Python allows a comma at the end
                continue
            emit(", ")
        if begin == "{":
            if not (yield from _read_value(reader, emit)):
                return False
            if not (yield from reader.take_loosely(":")):
                return False
            emit(": ")
        if not (yield from _read_value(reader, emit)):
            return False
        is_first = False


def _read_string(reader: StreamReader) -> Reading[str | None]:
    """Read a string literal of Python or JSON; None if it is cut off or invalid."""
    quote = reader.take_one()
    literal = [quote]
    while True:
        character = yield from reader.peek(1)
        if character == "":
            return None
        literal.append(reader.take_one())
        if character == "\\":
            if (yield from reader.peek(1)) == "":
                return None
            literal.append(reader.take_one())
        elif character == quote:
            break
    return _unquoted("".join(literal))


def _unquoted(literal: str) -> str | None:
    text = literal.replace("\n", "\\n").replace("\r", "\\r").replace("\\/", "/")
    try:
        value = json.loads(text) if text.startswith('"') else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return None
    return value if isinstance(value, str) else None


class PythonNotation:
    """Python's notation of arguments."""

    separator = ", "
    object_delimiters = ("{", "}")
    array_delimiters = ("[", "]")
    value_end = ""

    def string(self, lark: Lark, schema: JsonObject) -> str:
        """Return an expression for a string, written as JSON."""
        bounds: JsonObject = {key: schema[key] for key in _STRING_KEYS if key in schema}
        return lark.json(enforced_schema({"type": "string", **bounds}, strict=True))

    def constant(self, lark: Lark, value: JsonValue) -> str:
        """Return an expression for a constant."""
        return quoted(_python(value))

    def boolean(self, lark: Lark) -> str:
        """Return an expression for true or false, in Python's or JSON's notation."""
        return '( "True" | "False" | "true" | "false" )'

    def null(self, lark: Lark) -> str:
        """Return an expression for None or null."""
        return '( "None" | "null" )'

    def member(self, lark: Lark, key: str, value: str, *, is_nested: bool) -> str:
        """Return an expression for a keyword argument, or for a member of a dictionary."""
        return f"{quoted(dumped(key) + ': ' if is_nested else key + '=')} {value}"

    def any_member(self, lark: Lark, value: str) -> str:
        """Return an expression for a dictionary member with any key."""
        return f"{lark.json({'type': 'string', 'maxLength': 40})} {quoted(': ')} {value}"

    def item(self, lark: Lark, value: str) -> str:
        """Return an expression for an item of a list."""
        return value
