"""Normalizes JSON Schemas from elsewhere to JSON Schema 2020-12.

Schemas come from MCP servers and clients, in any draft or OpenAPI, some of them invalid. An invalid
keyword is dropped without affecting others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.patterns import check_pattern
from kronk_agent.tools.schema.references import resolved
from kronk_agent.tools.schema.walking import LISTS, MAPS, SINGLES, without_reversals

_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_TYPE_ALIASES: Final = {
    **dict.fromkeys(("int", "int32", "int64", "long"), "integer"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("list", "tuple"), "array"),
    **dict.fromkeys(("dict", "map"), "object"),
    "bool": "boolean",
    "none": "null",
}
"""Names of types in other type systems."""
_MAX_CACHED_CHARS: Final = 20_000
"""Maximum length of a schema that is cached."""
_DRAFTS_TO_4: Final = ("draft-03/", "draft-04/")
_DRAFTS_TO_7: Final = (*_DRAFTS_TO_4, "draft-06/", "draft-07/")


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A keyword that was dropped from a schema."""

    path: str
    """Path of the schema with the keyword, such as ``properties.mode``; empty for the root."""
    keyword: str
    reason: str

    def __str__(self) -> str:
        location = f"{self.path}.{self.keyword}" if self.path else self.keyword
        return f"{location}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ReadSchema:
    """A valid schema, and the keywords that were dropped from it."""

    schema: JsonObject
    """A schema of draft 2020-12, in which every ``$ref`` is a resolvable ``#/$defs/NAME``."""
    problems: tuple[SchemaProblem, ...]


_TOO_DEEP: Final = ReadSchema({}, (SchemaProblem("", "schema", "it is nested too deeply"),))


def read_schema(schema: JsonObject) -> ReadSchema:
    """Normalize a schema of any draft.

    A valid schema is returned unchanged, except that all references lead to ``$defs`` and unused
    definitions are dropped. Results are cached, since tools are created again for every prompt: do
    not modify them.
    """
    try:
        text = json.dumps(schema)
    except RecursionError:
        return _TOO_DEEP
    except (TypeError, ValueError):  # e.g. a default that is not JSON
        return _read(schema)
    return _read_cached(text) if len(text) <= _MAX_CACHED_CHARS else _read(schema)


@lru_cache(maxsize=1024)
def _read_cached(text: str) -> ReadSchema:
    return _read(json.loads(text))


def _read(schema: JsonObject) -> ReadSchema:
    draft = str(schema.get("$schema"))
    reader = _Reader(
        is_draft_4=any(name in draft for name in _DRAFTS_TO_4),
        is_draft_7=any(name in draft for name in _DRAFTS_TO_7),
    )
    try:
        legal = reader.read(schema)
        assert isinstance(legal, dict)
        read, dangling = resolved(legal)
    except RecursionError:
        return _TOO_DEEP
    problems = reader.problems + [
        SchemaProblem(path, "$ref", f"{reference!r} cannot be resolved in this schema")
        for path, reference in dangling
    ]
    return ReadSchema(read, tuple(problems))


class _InvalidKeywordError(ValueError):
    """The value of a keyword is invalid."""


@dataclass(slots=True)
class _Reader:
    """Normalizes one schema and collects its problems."""

    is_draft_4: bool
    """True for draft 4 or older, where ``$id`` is called ``id``."""
    is_draft_7: bool
    """True for draft 7 or older, where siblings of ``$ref`` are ignored."""
    problems: list[SchemaProblem] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)

    def read(self, value: JsonValue) -> JsonValue:
        """Normalize a schema; one that is not a schema at all allows everything."""
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            self._drop("schema", "it must be an object")
            return {}
        if self.is_draft_7 and isinstance(value.get("$ref"), str):
            beside = ("$ref", "$defs", "definitions", "title", "description", "default")
            value = {key: inner for key, inner in value.items() if key in beside}
        read: JsonObject = {}
        lost: set[str] = set()
        for key, inner in _modernized(value, is_draft_4=self.is_draft_4).items():
            if inner is None and key in _KEYWORDS:
                continue  # serializers write unset keywords as null
            num_problems = len(self.problems)
            try:
                read[key] = self._keyword(key, inner)
            except _InvalidKeywordError as problem:
                self._drop(key, str(problem))
            if len(self.problems) > num_problems:
                lost.add(key)
        return without_reversals(read, lost)

    def _keyword(self, key: str, value: JsonValue) -> JsonValue:
        if key in MAPS:
            return self._by_name(key, value)
        if key in LISTS:
            return self._listed(key, value)
        if key in SINGLES:
            with self._at(key):
                return self.read(_boolean(value))
        check = _VALUES.get(key)
        return value if check is None else check(value)

    def _by_name(self, key: str, value: JsonValue) -> JsonObject:
        if not isinstance(value, dict):
            raise _InvalidKeywordError("it must be an object")
        read: JsonObject = {}
        for name, inner in value.items():
            with self._at(f"{key}.{name}"):
                if key == "patternProperties" and (problem := check_pattern(name)):
                    self._drop("pattern", problem)
                    continue
                read[name] = self.read({} if inner is None else inner)
        return read

    def _listed(self, key: str, value: JsonValue) -> list[JsonValue]:
        if not isinstance(value, list) or not value:
            raise _InvalidKeywordError("it must be a list of schemas that is not empty")
        read: list[JsonValue] = []
        for at, inner in enumerate(value):
            with self._at(f"{key}.{at}"):
                read.append(self.read(inner))
        return read

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._path.append(step)
        yield
        self._path.pop()

    def _drop(self, keyword: str, reason: str) -> None:
        self.problems.append(SchemaProblem(".".join(self._path), keyword, reason))


# --- forms of other drafts ------------------------------------------------------------------------


def _modernized(schema: JsonObject, *, is_draft_4: bool) -> JsonObject:
    """Convert keywords of drafts 3 to 7 and of OpenAPI to 2020-12."""
    new = dict(schema)
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(new.get(exclusive), bool) and new.pop(exclusive) and bound in new:
            new[exclusive] = new.pop(bound)
    if "divisibleBy" in new:
        new.setdefault("multipleOf", new.pop("divisibleBy"))
    if isinstance(items := new.get("items"), list):
        del new["items"]
        if items:
            new["prefixItems"] = items
        if "additionalItems" in new:
            new["items"] = new["additionalItems"]
    new.pop("additionalItems", None)
    _split_dependencies(new)
    _allow_null(new)
    if isinstance(new.get("id"), str) and is_draft_4:
        new["$id"] = new.pop("id")
    if isinstance(id := new.get("$id"), str) and id.startswith("#"):
        del new["$id"]
        new["$anchor"] = id.removeprefix("#")
    _split_types(new)
    if isinstance(properties := new.get("properties"), dict):
        new["properties"], required = _split_required(properties)
        if required:
            listed = new.get("required")
            new["required"] = [*(listed if isinstance(listed, list) else ()), *required]
    return new


def _split_types(schema: JsonObject) -> None:
    """Convert draft 3: schemas among the types, the type ``any``, ``disallow``, ``extends``."""
    for keyword, negates in (("type", False), ("disallow", True)):
        kinds = schema.get(keyword)
        listed = kinds if isinstance(kinds, list) else [kinds]
        if keyword not in schema or not (negates or any(isinstance(k, dict) for k in listed)):
            continue
        del schema[keyword]
        if "any" not in listed or negates:
            options: list[JsonValue] = [k if isinstance(k, dict) else {"type": k} for k in listed]
            _add(schema, {"not": {"anyOf": options}} if negates else {"anyOf": options})
    if schema.get("type") == "any" or "any" in _listed_types(schema):
        del schema["type"]
    if isinstance(bases := schema.pop("extends", []), list | dict) and bases:
        for base in bases if isinstance(bases, list) else [bases]:
            _add(schema, base)


def _listed_types(schema: JsonObject) -> list[JsonValue]:
    kinds = schema.get("type")
    return kinds if isinstance(kinds, list) else []


def _add(schema: JsonObject, other: JsonValue) -> None:
    """Require the other schema as well."""
    parts = schema.get("allOf")
    schema["allOf"] = [*(parts if isinstance(parts, list) else ()), other]


def _split_dependencies(schema: JsonObject) -> None:
    """Convert drafts 3 to 7: one keyword for required properties and for schemas."""
    together = schema.get("dependencies")
    if not isinstance(together, dict):
        return
    del schema["dependencies"]
    named: JsonObject = {key: [v] if isinstance(v, str) else v for key, v in together.items()}
    lists: JsonObject = {key: value for key, value in named.items() if isinstance(value, list)}
    others: JsonObject = {key: value for key, value in named.items() if key not in lists}
    for keyword, part in (("dependentRequired", lists), ("dependentSchemas", others)):
        if part:
            schema.setdefault(keyword, part)


def _allow_null(schema: JsonObject) -> None:
    """Convert ``nullable`` of OpenAPI 3.0."""
    if schema.get("nullable") is not True:
        return
    kind, values = schema.get("type"), schema.get("enum")
    if isinstance(kind, str):
        del schema["nullable"]
        schema["type"] = [kind, "null"]
        if isinstance(values, list) and None not in values:
            schema["enum"] = [*values, None]


def _split_required(properties: JsonObject) -> tuple[JsonObject, list[JsonValue]]:
    """Convert draft 3: ``"required": true`` in the property itself."""
    plain: JsonObject = {}
    required: list[JsonValue] = []
    for name, schema in properties.items():
        if isinstance(schema, dict) and isinstance(is_required := schema.get("required"), bool):
            schema = {key: value for key, value in schema.items() if key != "required"}
            required += [name] if is_required else []
        plain[name] = schema
    return plain, required


# --- what a keyword's value may be ----------------------------------------------------------------


def _boolean(value: JsonValue) -> JsonValue:
    """Convert a boolean schema that is written as text."""
    values: dict[JsonValue, JsonValue] = {"true": True, "false": False}
    return values.get(value.lower(), value) if isinstance(value, str) else value


def _type(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _type_name(value)
    if not isinstance(value, list) or not value:
        raise _InvalidKeywordError("it must be the name of a type, or a list of names")
    names: dict[JsonValue, None] = dict.fromkeys(map(_type_name, value))
    return list(names)


def _type_name(value: JsonValue) -> str:
    name = value.lower() if isinstance(value, str) else ""
    name = _TYPE_ALIASES.get(name, name)
    if name not in _TYPES:
        raise _InvalidKeywordError(f"{value!r} is not a type")
    return name


def _number(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        try:
            value = int(value) if value.strip("+-").isdecimal() else float(value)
        except ValueError:
            raise _InvalidKeywordError("it must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _InvalidKeywordError("it must be a number")
    return value


def _positive(value: JsonValue) -> JsonValue:
    number = _number(value)
    if not isinstance(number, int | float) or number <= 0:
        raise _InvalidKeywordError("it must be a number greater than 0")
    return number


def _count(value: JsonValue) -> JsonValue:
    number = _number(value)
    if not isinstance(number, int | float) or number < 0 or number != int(number):
        raise _InvalidKeywordError("it must be a whole number, 0 or more")
    return int(number)


def _pattern(value: JsonValue) -> JsonValue:
    pattern = _text(value)
    if problem := check_pattern(pattern):
        raise _InvalidKeywordError(problem)
    return pattern


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise _InvalidKeywordError("it must be text")
    return value


def _names(value: JsonValue) -> JsonValue:
    if not isinstance(value, list):
        raise _InvalidKeywordError("it must be a list of names")
    names: dict[JsonValue, None] = dict.fromkeys(n for n in value if isinstance(n, str))
    return list(names)


def _names_by_name(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        raise _InvalidKeywordError("it must be an object")
    return {key: _names(names) for key, names in value.items()}


def _values(value: JsonValue) -> JsonValue:
    if not isinstance(value, list) or not value:
        raise _InvalidKeywordError("it must be a list of values that is not empty")
    return value


def _flag(value: JsonValue) -> JsonValue:
    flag = _boolean(value)
    if not isinstance(flag, bool):
        raise _InvalidKeywordError("it must be true or false")
    return flag


_VALUES: Final[dict[str, Callable[[JsonValue], JsonValue]]] = {
    "type": _type,
    "enum": _values,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    "multipleOf": _positive,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _count),
    "pattern": _pattern,
    "format": _text,
    "required": _names,
    "dependentRequired": _names_by_name,
    "uniqueItems": _flag,
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "$id", "$anchor"), _text),
}
_KEYWORDS: Final = {*MAPS, *LISTS, *SINGLES, *_VALUES}
