"""A tool's JSON Schema as the grammar enforces it: never looser, and such that writing ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tool import Tool

_ENFORCED_FORMATS: Final = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
)
_LARGEST_INTEGER: Final = 9 * 10**18
"""All but the last of 64 bits: llguidance cannot compile bounds nearer to their end."""
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLES: Final = frozenset({"items", "additionalProperties"})
_JOINED: Final = frozenset({"$ref", "anyOf", "oneOf"})
_COMBINING: Final = frozenset(
    ["allOf", "not", "if", "dependentSchemas", "unevaluatedProperties", "$dynamicRef"]
)
_OPENING: Final = frozenset(
    {"additionalProperties", "patternProperties", "minProperties", *_JOINED}
)


def enforced_schema(tool: Tool) -> JsonObject:
    """The schema of a tool's arguments, with llguidance's options in it.

    Beside what the schema says: blanks are fixed, so that most tokens are forced; an object that
    lists its properties has no others unless it says so; integers fit 64 bits, so that digits end;
    and a ``format`` llguidance does not know is the annotation JSON Schema says it is.
    """
    is_closing = _is_plain(tool.parameters)
    schema = _enforced(tool.parameters, is_closing)
    if is_closing and not schema.keys() & _OPENING and "properties" not in schema:
        schema["additionalProperties"] = False
    schema["x-guidance"] = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        "lenient": not tool.strict,
    }
    return schema


def _enforced(schema: JsonObject, is_closing: bool) -> JsonObject:
    enforced = {key: _enforced_value(key, value, is_closing) for key, value in schema.items()}
    if enforced.get("format") not in _ENFORCED_FORMATS:
        enforced.pop("format", None)
    if _is_integer(enforced):
        enforced |= _bounds(enforced)
    if is_closing and _lists_all_properties(enforced):
        enforced["additionalProperties"] = False
    return enforced


def _enforced_value(key: str, value: JsonValue, is_closing: bool) -> JsonValue:
    """The value of one keyword, with the schemas in it enforced."""

    def enforced(inner: JsonValue) -> JsonValue:
        return _enforced(inner, is_closing) if isinstance(inner, dict) else inner

    match value:
        case dict() if key in _MAPS:
            return {name: enforced(inner) for name, inner in value.items()}
        case dict() if key in _SINGLES:
            return enforced(value)
        case list() if key in _LISTS | _SINGLES:
            return [enforced(inner) for inner in value]
        case _:
            return value


def _is_integer(schema: JsonObject) -> bool:
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return "integer" in kinds and "number" not in kinds


def _bounds(schema: JsonObject) -> JsonObject:
    """The bounds of an integer, with those it lacks."""
    bounds: JsonObject = {}
    if "exclusiveMinimum" not in schema:
        bounds["minimum"] = max(
            _number(schema.get("minimum"), -_LARGEST_INTEGER), -_LARGEST_INTEGER
        )
    if "exclusiveMaximum" not in schema:
        bounds["maximum"] = min(_number(schema.get("maximum"), _LARGEST_INTEGER), _LARGEST_INTEGER)
    return bounds


def _number(value: JsonValue, default: int) -> int | float:
    return value if isinstance(value, int | float) else default


def _lists_all_properties(schema: JsonObject) -> bool:
    listed, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(listed, dict) or not isinstance(required, list):
        return False
    return not schema.keys() & _OPENING and all(name in listed for name in required)


def _is_plain(schema: JsonObject) -> bool:
    """Is no object described in two places? Closing one of them would forbid the other's."""
    is_described_twice = "properties" in schema and schema.keys() & _JOINED
    if schema.keys() & _COMBINING or is_described_twice:
        return False
    return all(map(_is_plain, _schemas_in(schema)))


def _schemas_in(schema: JsonObject) -> Iterator[JsonObject]:
    for key, value in schema.items():
        inner: Iterable[JsonValue] = ()
        if key in _MAPS and isinstance(value, dict):
            inner = value.values()
        elif key in _LISTS | _SINGLES:
            inner = value if isinstance(value, list) else [value]
        yield from (item for item in inner if isinstance(item, dict))
