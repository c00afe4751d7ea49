"""JSON Schemas as shown to models, without keywords that cost tokens but say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue

_SCHEMA_MAPS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
"""Keywords that contain schemas by name, whatever the names are."""
_VALUE_KEYWORDS: Final = frozenset({"const", "enum", "default", "examples"})
"""Keywords that contain values, in which nothing is a keyword."""


def prompt_schema(
    schema: JsonObject, shorten: Callable[[str], str] = lambda text: text
) -> JsonObject:
    """Return a shorter schema that accepts the same values.

    Drops ``$schema``, ``$comment``, empty descriptions and lists of required properties, and titles
    that only repeat a name or accompany a description.

    Args:
        schema: the schema of the arguments; not modified.
        shorten: shortens descriptions.
    """
    return _compact(schema, "", shorten)


def _compact(schema: JsonObject, name: str, shorten: Callable[[str], str]) -> JsonObject:
    return {
        key: _value(key, value, shorten)
        for key, value in schema.items()
        if not _is_noise(key, value, schema, name)
    }


def _is_noise(key: str, value: JsonValue, schema: JsonObject, name: str) -> bool:
    match key, value:
        case (("$schema" | "$comment"), str()):
            return True
        case "description", str(text):
            return not text.strip()
        case "required", []:
            return True
        case "title", str(title):
            return bool(not name or schema.get("description") or _letters(title) == _letters(name))
        case _:
            return False


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _value(key: str, value: JsonValue, shorten: Callable[[str], str]) -> JsonValue:
    match value:
        case str() if key == "description":
            return shorten(value)
        case dict() if key in _SCHEMA_MAPS:
            return {name: _schema(inner, name, shorten) for name, inner in value.items()}
        case dict() | list() if key not in _VALUE_KEYWORDS:
            return _schema(value, "", shorten)
        case _:
            return value


def _schema(value: JsonValue, name: str, shorten: Callable[[str], str]) -> JsonValue:
    match value:
        case dict():
            return _compact(value, name, shorten)
        case list():
            return [_schema(item, "", shorten) for item in value]
        case _:
            return value
