"""Handles null for omitted optional arguments, as some clients send them."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.arguments import ArgumentsCheck


def without_nulls(arguments: JsonObject, schema: JsonObject) -> JsonObject:
    """Drop optional arguments that are null although null is not allowed, recursively."""
    return _without(arguments, schema, schema)


def _without(arguments: JsonObject, schema: JsonObject, root: JsonObject) -> JsonObject:
    properties, required = schema.get("properties"), schema.get("required")
    schemas = properties if isinstance(properties, dict) else {}
    needed = required if isinstance(required, list) else []
    kept: JsonObject = {}
    for name, value in arguments.items():
        property_schema = schemas.get(name)
        if not isinstance(property_schema, dict):
            kept[name] = value
        elif isinstance(value, dict):
            kept[name] = _without(value, property_schema, root)
        elif value is not None or name in needed or _takes_null(property_schema, root):
            kept[name] = value
    return kept


def _takes_null(schema: JsonObject, root: JsonObject) -> bool:
    shared: dict[str, JsonValue] = {
        key: root[key] for key in ("$defs", "definitions") if key in root
    }
    return ArgumentsCheck(shared | schema).problem(None) is None
