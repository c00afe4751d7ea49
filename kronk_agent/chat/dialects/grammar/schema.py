"""JSON Schemas as the grammar enforces them: never looser, and with finite output."""

from __future__ import annotations

from typing import Final

from kronk_agent.chat.dialects.grammar.counted_properties import with_counted_properties
from kronk_agent.chat.dialects.grammar.property_names import with_property_names
from kronk_agent.chat.dialects.grammar.recursion import unroll
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools import Tool
from kronk_agent.tools.schema.patterns import for_grammar
from kronk_agent.tools.schema.walking import schemas_in, with_schemas

_ENFORCED_FORMATS: Final = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
)
_LARGEST_INTEGER: Final = 9 * 10**18
"""Slightly below the limit of 64 bits: llguidance cannot compile bounds closer to it."""
_JOINED: Final = frozenset({"$ref", "anyOf", "oneOf"})
_COMBINING: Final = frozenset(
    ["allOf", "not", "if", "dependentSchemas", "unevaluatedProperties", "$dynamicRef"]
)
_OPENING: Final = frozenset({"additionalProperties", "patternProperties", *_JOINED})


def enforced_schema(schema: JsonObject, *, strict: bool) -> JsonObject:
    """Return a schema with llguidance's options.

    Without ``strict``, keywords that cannot be enforced are dropped. Beyond the schema: whitespace
    is fixed, so that most tokens are forced; an object that lists its properties has no others
    unless the schema allows them; recursion and the digits of integers are limited; a ``format``
    that llguidance does not support is only an annotation, as in JSON Schema.
    """
    enforced = _enforced(unroll(with_property_names(schema)), _is_plain(schema))
    assert isinstance(enforced, dict)
    enforced["x-guidance"] = {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
        "lenient": not strict,
    }
    return enforced


def arguments_schema(tool: Tool) -> JsonObject:
    """Return the enforced schema of a tool's arguments; a tool without properties takes none."""
    schema = enforced_schema(tool.parameters, strict=tool.strict)
    if _is_plain(tool.parameters) and not schema.keys() & {*_OPENING, "properties"}:
        schema["additionalProperties"] = False
    return schema


def _enforced(value: JsonValue, is_closing: bool) -> JsonValue:
    if not isinstance(value, dict):
        return value
    schema = with_schemas(value, lambda inner: _enforced(inner, is_closing))
    if schema.get("format") not in _ENFORCED_FORMATS:
        schema.pop("format", None)
    if _is_integer(schema):
        schema |= _bounds(schema)
    if isinstance(pattern := schema.get("pattern"), str):
        schema["pattern"] = for_grammar(pattern)
    if isinstance(by_pattern := schema.get("patternProperties"), dict):
        schema["patternProperties"] = {for_grammar(key): v for key, v in by_pattern.items()}
    if is_closing and _lists_all_properties(schema):
        schema["additionalProperties"] = False
    return with_counted_properties(schema)


def _is_integer(schema: JsonObject) -> bool:
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return "integer" in kinds and "number" not in kinds


def _bounds(schema: JsonObject) -> JsonObject:
    """Return the bounds of an integer, with defaults for missing ones."""
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
    least = schema.get("minProperties", 0)
    is_enough = isinstance(least, int) and len(listed) >= least
    return not schema.keys() & _OPENING and is_enough and all(name in listed for name in required)


def _is_plain(schema: JsonObject) -> bool:
    """Return true if no object is described in two places.

    Closing one of the two would forbid the properties of the other.
    """
    is_described_twice = "properties" in schema and schema.keys() & _JOINED
    if schema.keys() & _COMBINING or is_described_twice:
        return False
    return all(map(_is_plain, schemas_in(schema)))
