"""Support for ``propertyNames``, expressed with keywords that llguidance supports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.walking import with_schemas

_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)
_OF_A_LENGTH: Final = frozenset({"minLength", "maxLength"})
"""Keywords of a length."""
_MAX_REFERENCES: Final = 8
"""References followed from one definition to the next."""


def with_property_names(schema: JsonObject) -> JsonObject:
    """Replace ``propertyNames`` by listed properties or a pattern.

    Zod and Pydantic write the keyword for every record: for any text (which has no effect), for
    listed names, for a pattern or a length. Other uses stay unchanged.
    """
    definitions = schema.get("$defs")
    named = definitions if isinstance(definitions, dict) else {}

    def change(value: JsonValue) -> JsonValue:
        if not isinstance(value, dict):
            return value
        return _with_names(with_schemas(value, change), named)

    changed = change(schema)
    assert isinstance(changed, dict)
    return changed


def _with_names(schema: JsonObject, definitions: Mapping[str, JsonValue]) -> JsonObject:
    if "propertyNames" not in schema:
        return schema
    names = _meaning(schema["propertyNames"], definitions)
    rest = {key: value for key, value in schema.items() if key != "propertyNames"}
    if names is True or names == {}:
        return rest
    listed, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    if "patternProperties" in schema or not isinstance(listed, dict):
        return schema
    allowed = _listed_names(names)
    if allowed is not None:
        kept = {name: value for name, value in listed.items() if name in allowed}
        rest["properties"] = kept | {name: other for name in allowed if name not in kept}
        return rest | {"additionalProperties": False}
    pattern = _pattern(names)
    if pattern is None or listed:
        return schema
    return rest | {"patternProperties": {pattern: other}, "additionalProperties": False}


def _meaning(names: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    """Resolve references in the schema of names, without keywords that do not restrict names."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(names, dict):
            return names
        names = {key: value for key, value in names.items() if key not in _ANNOTATIONS}
        if names.get("type") == "string":
            del names["type"]
        reference = names.get("$ref")
        if len(names) != 1 or not isinstance(reference, str):
            return names
        names = definitions.get(reference.removeprefix("#/$defs/"))
    return names


def _listed_names(names: JsonValue) -> list[str] | None:
    """Return the allowed names, if the schema lists them all."""
    match names:
        case False:
            return []
        case {"enum": list(values), **rest} if not rest:
            return [value for value in values if isinstance(value, str)]
        case {"const": value, **rest} if not rest:
            return [value] if isinstance(value, str) else []
    return None


def _pattern(names: JsonValue) -> str | None:
    """Return a regular expression for the names; None if the schema is not one."""
    if not isinstance(names, dict):
        return None
    if names.keys() == {"pattern"} and isinstance(pattern := names["pattern"], str):
        return pattern
    least, most = names.get("minLength", 0), names.get("maxLength", "")
    if names.keys() <= _OF_A_LENGTH and isinstance(least, int):
        return rf"^[\s\S]{{{least},{most}}}$"
    return None
