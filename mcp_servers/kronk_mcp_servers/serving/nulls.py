"""Arguments that clients send as null where they mean that there is none."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.arguments import ArgumentsCheck


def without_nulls(arguments: JsonObject, schema: JsonObject) -> JsonObject:
    """The arguments without optional ones that are null and may not be, also within objects."""
    return _without(arguments, schema, schema)


def _without(arguments: JsonObject, schema: JsonObject, root: JsonObject) -> JsonObject:
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    needed = required if isinstance(required, list) else []
    kept: JsonObject = {}
    for name, value in arguments.items():
        own = known.get(name)
        if not isinstance(own, dict):
            kept[name] = value
        elif isinstance(value, dict):
            kept[name] = _without(value, own, root)
        elif value is not None or name in needed or _takes_null(own, root):
            kept[name] = value
    return kept


def _takes_null(schema: JsonObject, root: JsonObject) -> bool:
    shared: dict[str, JsonValue] = {
        key: root[key] for key in ("$defs", "definitions") if key in root
    }
    return ArgumentsCheck(shared | schema).problem(None) is None
