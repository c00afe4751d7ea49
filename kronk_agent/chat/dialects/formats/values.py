"""Arguments that are written one by one: strings as they are, other values as JSON.

The schema decides how a text is read. Qwen3-Coder, GLM, MiniMax, Seed-OSS, DeepSeek V3.2 and many
others write arguments this way.
"""

from __future__ import annotations

import ast
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects.grammar.lark import Lark, either, quoted
from kronk_agent.chat.dialects.grammar.schema import enforced_schema
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools import Tool
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.schema.patterns import for_grammar

_KINDS: Final = frozenset(["string", "integer", "number", "boolean", "null", "array", "object"])
_MAX_REFERENCES: Final = 20
_FORMATS: Final = {
    "date": r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])",
    "time": r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)",
    "date-time": r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "ipv4": r"((25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(25[0-5]|2[0-4]\d|1?\d?\d)",
}
_PYTHON: Final = {"True": "true", "False": "false", "None": "null"}
_JSON_START: Final = re.compile(r'\s*(["{\[\d-]|true|false|null|True|False|None)')


def kind_of(value: JsonValue) -> str:
    """Return a value's JSON Schema type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    schema: JsonObject
    """Includes the definitions it refers to."""
    is_strict: bool = True

    @property
    def kinds(self) -> frozenset[str]:
        """JSON Schema types its value may have."""
        return _kinds(self.schema, self.schema, _MAX_REFERENCES)

    @property
    def is_text(self) -> bool:
        """True if its value is always a string."""
        return self.kinds == {"string"}

    def options(self) -> list[JsonObject]:
        """Return the alternative schemas of its value, with references resolved."""
        return _flattened(self.schema, self.schema, _MAX_REFERENCES)

    def to_json(self, text: str) -> str:
        """Convert the text a model wrote to JSON."""
        kinds = self.kinds
        if kinds == {"string"}:
            return _dumps(text)
        value = text.strip()
        parsed = _parsed(value)
        if parsed is not None and (kind_of(parsed[1]) in kinds or "string" not in kinds):
            return parsed[0]
        if parsed is not None and kind_of(parsed[1]) == "integer" and "number" in kinds:
            return parsed[0]
        return _dumps(text)

    def narrowed(self, kinds: Sequence[str]) -> Parameter | None:
        """Return the parameter restricted to values of these types; None if it has none."""
        if set(kinds) == self.kinds:
            return self
        strings = [*_string_schemas(self.schema, self.schema, _MAX_REFERENCES)]
        if "string" not in kinds:
            schema = _without_strings(self.schema)
            return None if schema is None else Parameter(self.name, schema, self.is_strict)
        return Parameter(self.name, {"anyOf": list[JsonValue](strings)}, self.is_strict)

    def python_words(self) -> list[str]:
        """Return which of True, False and None are allowed; unusual schemas are skipped."""
        words: set[str] = set()
        for schema in self.options():
            if not schema.keys() & {"allOf", "not", "if", "$ref"}:
                allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
                values = allowed if isinstance(allowed, list) else [True, False, None]
                kinds = _kinds(schema, self.schema, _MAX_REFERENCES) & {"boolean", "null"}
                words.update(str(value) for value in values if kind_of(value) in kinds)
        return sorted(words)

    def may_be_json(self, start: str) -> bool:
        """Return true if a value with this start may be something other than a string."""
        return not self.is_text and _JSON_START.match(start) is not None

    def rule(self, lark: Lark, end: str, following: Sequence[str] = ()) -> str:
        """Return an expression for the value and the delimiter that ends it.

        Args:
            lark: receives the rules.
            end: the delimiter. Strings do not contain it; if it starts with a blank, they do not
            contain what a parser would take for the value's end.
            following: delimiters that may come after ``end``.
        """
        options = (*self._json_options(lark, end), *self._text_options(lark, end, following))
        return either(*options)

    def _json_options(self, lark: Lark, end: str) -> Iterator[str]:
        schema = _without_strings(self.schema)
        if schema is not None:
            json = lark.json(enforced_schema(schema, strict=self.is_strict))
            yield f"{json} {lark.exactly(end)}"

    def _text_options(self, lark: Lark, end: str, following: Sequence[str]) -> Iterator[str]:
        core = end.strip() or end
        pairs = [(core, delimiter) for delimiter in following]
        has_blank = end[0].isspace() and core != end and bool(pairs)
        ends = [end[: end.index(core) + len(core)]] if has_blank else [core]
        for schema in _string_schemas(self.schema, self.schema, _MAX_REFERENCES):
            values = schema.get("enum", [schema["const"]] if "const" in schema else None)
            if isinstance(values, list):
                texts = [v for v in values if isinstance(v, str) and not _ends_in(v, core, pairs)]
                yield from (f"{quoted(text)} {lark.exactly(end)}" for text in texts)
            else:
                text = string_terminal(lark, schema, ends, pairs if has_blank else ())
                yield lark.ended(text, end)


def parameters_of(tool: Tool) -> Mapping[str, Parameter]:
    """Return a tool's parameters by name, in the schema's order."""
    properties = tool.parameters.get("properties")
    definitions = {k: v for k, v in tool.parameters.items() if k in ("$defs", "definitions")}
    if not isinstance(properties, dict):
        return {}
    return {
        name: Parameter(
            name, {**(schema if isinstance(schema, dict) else {}), **definitions}, tool.strict
        )
        for name, schema in properties.items()
    }


def required_of(tool: Tool) -> frozenset[str]:
    """Return the names of a tool's required parameters."""
    required = tool.parameters.get("required")
    return frozenset(map(str, required)) if isinstance(required, list) else frozenset()


def any_parameter(name: str) -> Parameter:
    """Return a parameter that the schema does not have, with any value."""
    return Parameter(name, {})


def _dumps(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> tuple[str, JsonValue] | None:
    """Parse JSON or the same in Python's notation; None if it is neither."""
    text = _PYTHON.get(text, text)
    try:
        return text, parse_json(text)
    except ValueError:
        pass
    if not text.startswith(("{", "[")):
        return None
    try:
        value: JsonValue = ast.literal_eval(text)
        dumped = json.dumps(value, ensure_ascii=False)
        return dumped, parse_json(dumped)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _referred(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Return the schema that a reference points to."""
    reference = schema.get("$ref")
    target: JsonValue = root
    for key in str(reference).removeprefix("#/").split("/"):
        target = target.get(key) if isinstance(target, dict) else None
    return target if isinstance(target, dict) else {}


def _options(schema: JsonObject) -> list[JsonObject]:
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list):
            return [option for option in options if isinstance(option, dict)]
    return []


def _kinds(schema: JsonObject, root: JsonObject, depth: int) -> frozenset[str]:
    if "$ref" in schema and depth > 0:
        return _kinds(_referred(schema, root), root, depth - 1)
    if "const" in schema:
        return frozenset([kind_of(schema["const"])])
    if isinstance(values := schema.get("enum"), list):
        return frozenset(map(kind_of, values))
    if isinstance(kinds := schema.get("type"), str | list):
        return frozenset([kinds] if isinstance(kinds, str) else map(str, kinds))
    if (options := _options(schema)) and depth > 0:
        return frozenset().union(*(_kinds(option, root, depth - 1) for option in options))
    parts = schema.get("allOf")
    if isinstance(parts, list) and depth > 0:
        dicts = [part for part in parts if isinstance(part, dict)]
        return _KINDS.intersection(*(_kinds(part, root, depth - 1) for part in dicts))
    return _KINDS


def _flattened(schema: JsonObject, root: JsonObject, depth: int) -> list[JsonObject]:
    if "$ref" in schema and depth > 0:
        return _flattened(_referred(schema, root), root, depth - 1)
    options = _options(schema)
    if not options or depth == 0:
        return [schema]
    return [inner for option in options for inner in _flattened(option, root, depth - 1)]


def _without_strings(schema: JsonObject) -> JsonObject | None:
    """Return the schema without its string values; None if no values are left."""
    kinds = _kinds(schema, schema, _MAX_REFERENCES)
    if "string" not in kinds:
        return schema
    others = kinds - {"string"}
    if not others:
        return None
    if isinstance(values := schema.get("enum"), list):
        kept_values: list[JsonValue] = [v for v in values if not isinstance(v, str)]
        return {**schema, "enum": kept_values}
    if options := _options(schema):
        kept = [
            option for option in options if "string" not in _kinds(option, schema, _MAX_REFERENCES)
        ]
        definitions = {k: v for k, v in schema.items() if k in ("$defs", "definitions")}
        return {**definitions, "anyOf": list[JsonValue](kept)} if kept else None
    if "$ref" in schema:
        definitions = {k: v for k, v in schema.items() if k in ("$defs", "definitions")}
        return _without_strings({**definitions, **_referred(schema, schema)})
    return {**schema, "type": list[JsonValue](sorted(others))}


def _string_schemas(schema: JsonObject, root: JsonObject, depth: int) -> Iterator[JsonObject]:
    """Yield the schemas of the strings it allows."""
    if "string" not in _kinds(schema, root, depth):
        return
    if "$ref" in schema and depth > 0:
        yield from _string_schemas(_referred(schema, root), root, depth - 1)
    elif (options := _options(schema)) and depth > 0:
        for option in options:
            yield from _string_schemas(option, root, depth - 1)
    else:
        yield schema


def _ends_in(text: str, delimiter: str, pairs: Sequence[tuple[str, str]]) -> bool:
    """Return true if a parser would find the end delimiter inside the text."""
    if not pairs:
        return delimiter in text
    return any(
        re.search(rf"{re.escape(delimiter)}\s*{re.escape(following)}", text)
        for delimiter, following in pairs
    )


def string_terminal(
    lark: Lark,
    schema: JsonObject,
    ends: Sequence[str],
    pairs: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a terminal for a string.

    Args:
        lark: receives the terminal.
        schema: the string's schema.
        ends: delimiters that the string does not contain.
        pairs: pairs of delimiters that the string does not contain with only blanks between them.
    """
    least, most = schema.get("minLength"), schema.get("maxLength")
    pattern, format = schema.get("pattern"), schema.get("format")
    conditions = [lark.without(ends)]
    conditions += [
        f"~( ANY {quoted(delimiter)} /\\s*/ {quoted(following)} ANY )"
        for delimiter, following in pairs
    ]
    if isinstance(pattern, str):
        conditions.append(_regex(for_grammar(pattern)))
    elif isinstance(format, str) and format in _FORMATS:
        conditions.append(f"/{_FORMATS[format]}/")
    if isinstance(least, int) or isinstance(most, int):
        conditions.append(f"/(?s:.{{{least or 0},{'' if most is None else most}}})/")
    if len(conditions) == 1:
        return conditions[0]
    body = " & ".join(conditions)
    return lark.add(f"VALUE_{zlib.crc32(body.encode()):X}", body)


def _regex(pattern: str) -> str:
    """Convert a JSON Schema pattern, which may match anywhere, to one for the whole text."""
    start = "" if pattern.startswith("^") else "(?s:.*)"
    end = "" if pattern.endswith("$") and not pattern.endswith("\\$") else "(?s:.*)"
    inner = pattern.removeprefix("^")
    inner = inner.removesuffix("$") if not end else inner
    inner = re.sub(r"(?<!\\)/", r"\\/", inner)
    return f"/{start}({inner}){end}/"
