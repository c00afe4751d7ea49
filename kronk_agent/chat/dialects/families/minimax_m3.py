"""MiniMax M3: arguments as nested XML, with a delimiter before every tag.

Source: the chat template published with MiniMax-M3, whose ``to_xml`` writes objects as nested tags
and arrays as ``item`` tags; the delimiter is ``]<]minimax[>[``. The schema decides how a tag's
content is read: content with tags in it is still text where a string is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kronk_agent.chat.dialects.dialect import Dialect
from kronk_agent.chat.dialects.families.family import AnalysedTemplate, Family
from kronk_agent.chat.dialects.formats.call_format import Tools, one_of, repeated
from kronk_agent.chat.dialects.formats.values import Parameter, any_parameter, string_terminal
from kronk_agent.chat.dialects.grammar.lark import Lark, quoted
from kronk_agent.chat.dialects.grammar.structured import StructuredRules, dumped
from kronk_agent.chat.dialects.parsing.output import Output
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading, StreamReader
from kronk_agent.messages import JsonObject, JsonValue, ToolCall

DELIMITER: Final = "]<]minimax[>["
_BEGIN: Final = f"{DELIMITER}<tool_call>"
_END: Final = f"{DELIMITER}</tool_call>"
_NAME: Final = re.compile(r'[^">\s]')
_KEY: Final = re.compile(r"[^>/\s]")


def _matches(template: AnalysedTemplate) -> bool:
    return DELIMITER in template.source and "<invoke name=" in template.source


def _adapt(template: AnalysedTemplate) -> Dialect:
    """Add the calls, which analysis does not understand."""
    calls = MiniMaxCalls()
    return template.dialect(
        replace(template.format, name="minimax-m3", calls=calls, before_calls="")
    )


FAMILY: Final = Family(_matches, _adapt)


@dataclass(frozen=True, slots=True)
class MiniMaxCalls:
    """Call format of MiniMax M3."""

    triggers: tuple[str, ...] = (_BEGIN,)
    starts_turn: bool = False

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as the template does."""
        written = (
            f'{DELIMITER}<invoke name="{call.name}">'
            + "".join(_tag(k, v) for k, v in json.loads(call.arguments).items())
            + f"{DELIMITER}</invoke>\n"
            for call in calls
        )
        return f"{_BEGIN}\n{''.join(written)}{_END}"

    def rule(self, lark: Lark, tools: Tools, max_calls: int, trigger: str) -> str:
        """Return an expression for the calls after their trigger."""
        names = []
        for i, tool in enumerate(tools.values()):
            rules = StructuredRules(lark, _XmlNotation(), tool.parameters, f"arguments_{i}")
            delimiter, members = lark.exactly(DELIMITER), rules.arguments()
            begin, end = quoted(f'<invoke name="{tool.name}">'), quoted("</invoke>")
            names.append(lark.add(f"call_{i}", f"{delimiter} {begin} {members} {delimiter} {end}"))
        newline = quoted("\n")
        call = f"{one_of(lark, names, 'call')} {newline}"
        return f"{newline} {repeated(call, call, max_calls)} {lark.exactly(_END)}"

    def read(
        self, reader: StreamReader, output: Output, tools: Tools, trigger: str
    ) -> Reading[bool]:
        """Read the calls after their trigger; false if none follow."""
        start = reader.hold()
        has_begun = False
        while (yield from reader.take_loosely(f"{DELIMITER}<invoke")):
            yield from reader.take_blanks()
            if not (yield from reader.take('name="')):
                break
            name = yield from reader.take_all(_NAME)
            if name not in tools or not (yield from reader.take('">')):
                break
            has_begun = True
            reader.commit()
            output.begin_call(name)
            root = tools[name].parameters
            if not (yield from _ValueReader(reader, root).read_members(root, "invoke", output)):
                return True
            output.end_call()
        if not has_begun:
            reader.rewind(start)
            return False
        yield from reader.take_loosely(_END)
        return True


def _tag(key: str, value: JsonValue) -> str:
    return f"{DELIMITER}<{key}>{_xml(value)}{DELIMITER}</{key}>"


def _xml(value: JsonValue) -> str:
    match value:
        case dict():
            return "".join(_tag(key, inner) for key, inner in value.items())
        case list():
            return "".join(_tag("item", inner) for inner in value)
        case str():
            return value
        case _:
            return dumped(value)


class _ValueReader:
    """Reads tags according to a schema and returns JSON."""

    def __init__(self, reader: StreamReader, root: JsonObject) -> None:
        self._reader = reader
        self._root = root

    def read_members(self, schema: JsonObject, closing: str, output: Output) -> Reading[bool]:
        """Read a call's arguments, emitting each when complete; false if they are cut off."""
        is_first = True
        output.arguments("{")
        while True:
            if (yield from self._reader.take_loosely(f"{DELIMITER}</{closing}>")):
                output.arguments("}")
                return True
            member = yield from self._read_tag(schema)
            if member is None:
                return False
            key, value = member
            output.arguments(("" if is_first else ", ") + f"{dumped(key)}: {value}")
            is_first = False

    def _read_tag(self, schema: JsonObject) -> Reading[tuple[str, str] | None]:
        if not (yield from self._reader.take_loosely(f"{DELIMITER}<")):
            return None
        key = yield from self._reader.take_all(_KEY)
        if not key or not (yield from self._reader.take(">")):
            return None
        value = yield from self._read_value(self._inner(schema, key), key)
        return None if value is None else (key, value)

    def _inner(self, schema: JsonObject, key: str) -> JsonObject:
        """Return the schema of a member, or of an array item for an ``item`` tag."""
        parameter = Parameter(key, {**schema, **_definitions(self._root)})
        for option in parameter.options():
            properties = option.get("properties")
            inner = properties.get(key) if isinstance(properties, dict) else None
            if isinstance(inner, dict):
                return {**inner, **_definitions(self._root)}
            if key == "item" and isinstance(items := option.get("items"), dict):
                return {**items, **_definitions(self._root)}
        return {}

    def _read_value(self, schema: JsonObject, key: str) -> Reading[str | None]:
        parameter = Parameter(key, schema) if schema else any_parameter(key)
        closing = f"{DELIMITER}</{key}>"
        kinds = parameter.kinds
        if kinds & {"object", "array"} and "string" not in kinds:
            ahead = yield from self._reader.peek(len(DELIMITER) + 2)
            if ahead.startswith(f"{DELIMITER}<") and ahead != f"{DELIMITER}</":
                return (yield from self._read_nested(schema, closing, kinds))
        text: list[str] = []
        if (yield from self._reader.until(Delimiters([closing]), text.append)) is None:
            return None
        empty = {"array": "[]", "object": "{}"}
        if not text and "string" not in kinds and kinds & empty.keys():
            return next(empty[kind] for kind in ("array", "object") if kind in kinds)
        return parameter.to_json("".join(text))

    def _read_nested(
        self, schema: JsonObject, closing: str, kinds: frozenset[str]
    ) -> Reading[str | None]:
        members: list[tuple[str, str]] = []
        while not (yield from self._reader.take_loosely(closing)):
            member = yield from self._read_tag(schema)
            if member is None:
                return None
            members.append(member)
        if "array" in kinds and all(key == "item" for key, _ in members):
            return "[" + ", ".join(value for _, value in members) + "]"
        if "object" not in kinds:
            return None
        return "{" + ", ".join(f"{dumped(key)}: {value}" for key, value in members) + "}"


def _definitions(root: JsonObject) -> JsonObject:
    return {key: value for key, value in root.items() if key in ("$defs", "definitions")}


class _XmlNotation:
    """MiniMax M3's notation of arguments."""

    separator = ""
    object_delimiters = ("", "")
    array_delimiters = ("", "")
    value_end = DELIMITER

    def string(self, lark: Lark, schema: JsonObject) -> str:
        return lark.ended(string_terminal(lark, schema, [DELIMITER]), DELIMITER)

    def constant(self, lark: Lark, value: JsonValue) -> str:
        return quoted(_xml(value)) or '""'

    def boolean(self, lark: Lark) -> str:
        return '( "true" | "false" )'

    def null(self, lark: Lark) -> str:
        return '"null"'

    def member(self, lark: Lark, key: str, value: str, *, is_nested: bool) -> str:
        return self._tag(lark, quoted(f"<{key}>"), value, quoted(f"</{key}>"))

    def any_member(self, lark: Lark, value: str) -> str:
        return self._tag(lark, quoted("<value>"), value, quoted("</value>"))

    def item(self, lark: Lark, value: str) -> str:
        return self._tag(lark, quoted("<item>"), value, quoted("</item>"))

    def _tag(self, lark: Lark, begin: str, value: str, end: str) -> str:
        return f"{lark.exactly(DELIMITER)} {begin} {value} {end}"
