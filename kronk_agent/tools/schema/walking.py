"""Walking JSON Schemas: which keywords hold further schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue

_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
_SINGLES: Final = frozenset({"items", "additionalProperties"})

MAPS: Final = _BY_NAME | {"dependentSchemas"}
"""Keywords that hold schemas by name."""
LISTS: Final = _LISTS - {"items"}
"""Keywords that hold a list of schemas."""
SINGLES: Final = _SINGLES | {
    *("unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames"),
    *("not", "if", "then", "else", "contentSchema"),
}
"""Keywords that hold a schema."""


_REVERSALS: Final = {
    "not": frozenset({"not"}),
    "if": frozenset({"if", "then", "else"}),
    "contains": frozenset({"maxContains"}),
    "patternProperties": frozenset({"additionalProperties"}),
}
"""Keywords that allow less where another allows more, by that other one."""


def with_schemas(schema: JsonObject, change: Callable[[JsonValue], JsonValue]) -> JsonObject:
    """The schema with each schema directly in it changed; those may be true or false, too.

    Only those that say what a value or a part of it is, not those that say what it is not, or what
    it is under a condition.
    """
    return {key: _changed(key, value, change) for key, value in schema.items()}


def with_all_schemas(
    schema: JsonObject, change: Callable[[str, JsonValue], JsonValue]
) -> JsonObject:
    """The same for every schema in it.

    Args:
        schema: a legal one, of draft 2020-12.
        change: is told where in the schema it is, such as ``properties.mode``, as well.
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
    """The schema without what would allow less, now that parts of it allow more.

    Args:
        schema: one in which keywords were left out.
        lost: its own keywords that went, or that hold schemas in which some went.
    """
    gone: set[str] = {"unevaluatedItems", "unevaluatedProperties"} if lost else set()
    for keyword, others in _REVERSALS.items():
        if keyword in lost:
            gone |= others
    kept = {key: value for key, value in schema.items() if key not in gone}
    if "oneOf" in lost and "oneOf" in kept:  # more than one may be satisfied now
        parts, options = kept.get("allOf"), kept.pop("oneOf")
        kept["allOf"] = [*(parts if isinstance(parts, list) else ()), {"anyOf": options}]
    return kept


def schemas_in(schema: JsonObject) -> Iterator[JsonObject]:
    """The schemas directly in a schema."""
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
