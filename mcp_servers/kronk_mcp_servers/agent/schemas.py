"""Helpers for the JSON Schemas of our own tools."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue


def object_schema(
    required: dict[str, JsonValue], optional: dict[str, JsonValue] | None = None
) -> JsonObject:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def text(description: str, **more: JsonValue) -> JsonObject:
    """Return the schema of a string."""
    return {"type": "string", "description": description, **more}


def integer(description: str, **more: JsonValue) -> JsonObject:
    """Return the schema of an integer."""
    return {"type": "integer", "description": description, **more}


STRING: JsonObject = {"type": "string"}
INTEGER: JsonObject = {"type": "integer"}
USAGE = object_schema(
    {
        "prompt_tokens": INTEGER,
        "completion_tokens": INTEGER,
        "cached_tokens": INTEGER,
        "reasoning_tokens": INTEGER,
    }
)
