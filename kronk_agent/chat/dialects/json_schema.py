"""Walking JSON Schemas: which keywords hold further schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue

_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
_SINGLES: Final = frozenset({"items", "additionalProperties"})


def with_schemas(schema: JsonObject, change: Callable[[JsonValue], JsonValue]) -> JsonObject:
    """The schema with each schema directly in it changed; those may be true or false, too."""
    return {key: _changed(key, value, change) for key, value in schema.items()}


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
