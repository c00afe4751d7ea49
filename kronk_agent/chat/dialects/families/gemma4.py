"""Gemma 4: ``<|tool_call>call:NAME{key:<|"|>text<|"|>,other:1}<tool_call|>``.

Source: the chat template published with google/gemma-4-31B-it, whose macro writes arguments without
quotes around keys, and strings between two ``<|"|>`` without escapes. Thinking has a channel of its
own, which the models open and close in unexpected places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.call_format import (
    DelimiterPair,
    Tools,
    one_of,
    repeated,
)
from kronk_agent.chat.dialects.formats.values import any_parameter, string_terminal
from kronk_agent.chat.dialects.grammar.lark import Lark, quoted
from kronk_agent.chat.dialects.grammar.structured import StructuredRules, dumped
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Emit, Reading, StreamReader
from kronk_agent.messages import JsonObject, JsonValue, ToolCall

QUOTE: Final = '<|"|>'
_BEGIN: Final = "<|tool_call>"
_END: Final = "<tool_call|>"
_NAME: Final = re.compile(r"[^\s{}<]")
_SCALAR: Final = re.compile(r"[^,{}\[\]<]")


def _matches(template: AnalysedTemplate) -> bool:
    return "<|tool_call>call:" in template.source


def _adapt(template: AnalysedTemplate) -> Dialect:
    """Add the calls and the thinking, which analysis does not understand."""
    format = replace(
        template.format,
        name="gemma4",
        reasoning=DelimiterPair("<|channel>thought\n", "<channel|>"),
        calls=GemmaCalls(),
        reasons_anywhere=True,
        stray_delimiters=("<|channel>",),
    )
    return template.dialect(format)


FAMILY: Final = Family(_matches, _adapt)


@dataclass(frozen=True, slots=True)
class GemmaCalls:
    """Call format of Gemma 4."""

    triggers: tuple[str, ...] = (_BEGIN,)
    starts_turn: bool = False

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as the template does."""
        return "".join(
            f"{_BEGIN}call:{call.name}{_written(json.loads(call.arguments))}{_END}"
            for call in calls
        )

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for the calls after their trigger."""
        names = []
        for i, tool in enumerate(tools.values()):
            rules = StructuredRules(lark, _GemmaNotation(), tool.parameters, f"arguments_{i}")
            members = rules.arguments()
            body = f"{quoted(tool.name + '{')} {members} {quoted('}')}"
            names.append(lark.add(f"call_{i}", body))
        call = f"{quoted('call:')} {one_of(lark, names, 'call')} {lark.exactly(_END)}"
        return repeated(call, f"{lark.exactly(_BEGIN)} {call}", max_calls)

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read the calls after their trigger; false if none follow."""
        start = reader.hold()
        yield from reader.take_blanks()
        if not (yield from reader.take("call:")):
            reader.rewind(start)
            return False
        name = yield from reader.take_all(_NAME)
        yield from reader.take_blanks()
        if name not in tools or (yield from reader.peek(1)) != "{":
            reader.rewind(start)
            return False
        reader.commit()
        output.begin_call(name)
        if (yield from _read_value(reader, output.arguments)):
            yield from reader.take_blanks()
            if (yield from reader.take(_END)):
                output.end_call()
        return True


def _written(value: JsonValue) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{_written(v)}" for key, v in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case str():
            return f"{QUOTE}{value}{QUOTE}"
        case _:
            return dumped(value)


def _read_value(reader: StreamReader, emit: Emit) -> Reading[bool]:
    """Read a value and emit it as JSON as it arrives; false if it is cut off or invalid."""
    yield from reader.take_blanks()
    if (yield from reader.take(QUOTE)):
        emit('"')
        end = yield from reader.until(Delimiters([QUOTE]), lambda text: emit(dumped(text)[1:-1]))
        if end is None:
            return False
        emit('"')
        return True
    if (yield from reader.take("{")):
        return (yield from _read_members(reader, emit, "}", _read_member))
    if (yield from reader.take("[")):
        return (yield from _read_members(reader, emit, "]", _read_value))
    text = (yield from reader.take_all(_SCALAR)).strip()
    if not text or (yield from reader.is_at_end()):
        return False
    emit(any_parameter("").to_json(text))
    return True


def _read_members(
    reader: StreamReader, emit: Emit, end: str, read: Callable[[StreamReader, Emit], Reading[bool]]
) -> Reading[bool]:
    """Read up to the closing bracket; the opening one has been read."""
    emit("{" if end == "}" else "[")
    is_first = True
    while True:
        yield from reader.take_blanks()
        if (yield from reader.take(end)):
            emit(end)
            return True
        if not is_first:
            if not (yield from reader.take(",")):
                return False
            emit(", ")
            yield from reader.take_blanks()
        if not (yield from read(reader, emit)):
            return False
        is_first = False


def _read_member(reader: StreamReader, emit: Emit) -> Reading[bool]:
    if (yield from reader.take(QUOTE)):
        key: list[str] = []
        if (yield from reader.until(Delimiters([QUOTE]), key.append)) is None:
            return False
        if not (yield from reader.take_loosely(":")):
            return False
    else:
        key = []
        if (yield from reader.until(Delimiters([":"]), key.append)) is None:
            return False
    emit(f"{dumped(''.join(key).strip())}: ")
    return (yield from _read_value(reader, emit))


class _GemmaNotation:
    """Gemma 4's notation of arguments."""

    separator = ","
    object_delimiters = ("{", "}")
    array_delimiters = ("[", "]")
    value_end = ""

    def string(self, lark: Lark, schema: JsonObject) -> str:
        text = string_terminal(lark, schema, [QUOTE])
        return f"{lark.exactly(QUOTE)} {lark.ended(text, QUOTE)}"

    def constant(self, lark: Lark, value: JsonValue) -> str:
        return lark.exactly(_written(value))

    def boolean(self, lark: Lark) -> str:
        return '( "true" | "false" )'

    def null(self, lark: Lark) -> str:
        return '"null"'

    def member(self, lark: Lark, key: str, value: str, *, is_nested: bool) -> str:
        return f"{quoted(key + ':')} {value}"

    def any_member(self, lark: Lark, value: str) -> str:
        return f"{lark.add('KEY', '/[A-Za-z_][A-Za-z0-9_ -]{0,40}/')} {quoted(':')} {value}"

    def item(self, lark: Lark, value: str) -> str:
        return value
