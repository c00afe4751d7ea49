"""Traverses JSON Schemas: the keywords that contain schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue

_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
_SINGLES: Final = frozenset({"items", "additionalProperties"})

MAPS: Final = _BY_NAME | {"dependentSchemas"}
"""Keywords that contain schemas by name."""
LISTS: Final = _LISTS - {"items"}
"""Keywords that contain a list of schemas."""
SINGLES: Final = _SINGLES | {
    *("unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames"),
    *("not", "if", "then", "else", "contentSchema"),
}
"""Keywords that contain one schema."""


_REVERSALS: Final = {
    "not": frozenset({"not"}),
    "if": frozenset({"if", "then", "else"}),
    "contains": frozenset({"maxContains"}),
    "patternProperties": frozenset({"additionalProperties"}),
}
"""Keywords that become stricter when another keyword becomes laxer, by that other keyword."""


def with_schemas(schema: JsonObject, change: Callable[[JsonValue], JsonValue]) -> JsonObject:
    """Apply ``change`` to each direct subschema, including boolean ones.

    Only to subschemas that describe a value or a part of it, not to negated or conditional ones.
    """
    return {key: _changed(key, value, change) for key, value in schema.items()}


def with_all_schemas(
    schema: JsonObject, change: Callable[[str, JsonValue], JsonValue]
) -> JsonObject:
    """Apply ``change`` to every direct subschema, including negated and conditional ones.

    Args:
        schema: a valid schema of draft 2020-12.
        change: also receives the path of the subschema, such as ``properties.mode``.
    """
    changed: JsonObject = {}
    for key, value in schema.items():
        match value:
            case dict() if key in MAPS:
                changed[key] = {name: change(f"{key}.{name}", v) for name, v in value.items()}
            case list() if key in LISTS:
                changed[key] = [change(f"{key}.{at}", inner) for at, inner in enumerate(value)]
            case dict() | bool() if key in SINGLES:
                changed[key] = change(key, value)
            case _:
                changed[key] = value
    return changed


def without_reversals(schema: JsonObject, lost: Set[str]) -> JsonObject:
    """Drop keywords that would be too strict because parts of the schema were dropped.

    Args:
        schema: a schema from which keywords were dropped.
        lost: its keywords that were dropped, or whose subschemas lost keywords.
    """
    dropped: set[str] = {"unevaluatedItems", "unevaluatedProperties"} if lost else set()
    for keyword, others in _REVERSALS.items():
        if keyword in lost:
            dropped |= others
    kept = {key: value for key, value in schema.items() if key not in dropped}
    if "oneOf" in lost and "oneOf" in kept:  # now several may match
        parts, options = kept.get("allOf"), kept.pop("oneOf")
        kept["allOf"] = [*(parts if isinstance(parts, list) else ()), {"anyOf": options}]
    return kept


def schemas_in(schema: JsonObject) -> Iterator[JsonObject]:
    """Yield the direct subschemas."""
    found: list[JsonValue] = []
    with_schemas(schema, lambda inner: found.append(inner))
    return (inner for inner in found if isinstance(inner, dict))


def _changed(key: str, value: JsonValue, change: Callable[[JsonValue], JsonValue]) -> JsonValue:
    match value:
        case dict() if key in _BY_NAME:
            return {name: change(inner) for name, inner in value.items()}
        case list() if key in _LISTS:
            return [change(inner) for inner in value]
        case dict() | bool() if key in _SINGLES:
            return change(value)
        case _:
            return value
