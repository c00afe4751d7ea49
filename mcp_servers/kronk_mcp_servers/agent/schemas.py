"""JSON Schemas of our own tools."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, JsonValue


def object_schema(
    required: dict[str, JsonValue], optional: dict[str, JsonValue] | None = None
) -> JsonObject:
    """An object with these properties, and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def text(description: str, **more: JsonValue) -> JsonObject:
    return {"type": "string", "description": description, **more}


def integer(description: str, **more: JsonValue) -> JsonObject:
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
