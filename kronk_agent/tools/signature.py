"""Describes a tool in few tokens: its JSON Schema as TypeScript types."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.definition import Tool

_MAX_DEPTH = 4
"""Maximum nesting of objects; schemas may be recursive."""


def describe_tool(tool: Tool) -> str:
    """Return the name and description, and a line per parameter."""
    definitions = _definitions(tool)
    description = _one_line(tool.description)
    lines = [f"{tool.name}: {description}" if description else tool.name]
    required = _list(tool.parameters.get("required"))
    for name, schema in _object(tool.parameters.get("properties")).items():
        optional = "" if name in required else " (optional)"
        about = _one_line(_object(schema).get("description"))
        type = _type(schema, definitions, _MAX_DEPTH)
        lines.append(f"- {name}{optional}: {type}" + (f". {about}" if about else ""))
    return "\n".join(lines)


def signature(tool: Tool) -> str:
    """Return one line like ``add(a: integer, b?: integer)``."""
    definitions = _definitions(tool)
    required = _list(tool.parameters.get("required"))
    parameters = (
        f"{name}{'' if name in required else '?'}: {_type(schema, definitions, _MAX_DEPTH)}"
        for name, schema in _object(tool.parameters.get("properties")).items()
    )
    return f"{tool.name}({', '.join(parameters)})"


def _definitions(tool: Tool) -> dict[str, JsonValue]:
    """Return the schemas that a ``$ref`` can name, by reference."""
    return {
        f"#/{key}/{name}": schema
        for key in ("$defs", "definitions")
        for name, schema in _object(tool.parameters.get(key)).items()
    }


def _type(value: JsonValue, definitions: Mapping[str, JsonValue], depth: int) -> str:
    """Format a schema as a TypeScript type."""
    schema = _object(value)
    match schema:
        case {"$ref": str(reference)}:
            target = definitions.get(reference)
            return _type(target, definitions, depth - 1) if depth > 0 else "object"
        case {"enum": list(values)}:
            return " | ".join(_json(value) for value in values)
        case {"const": value}:
            return _json(value)
        case {"anyOf": list(options)} | {"oneOf": list(options)}:
            return " | ".join(_type(option, definitions, depth) for option in options)
        case {"type": list(kinds)}:
            kinds_of = [_type({**schema, "type": kind}, definitions, depth) for kind in kinds]
            return " | ".join(kinds_of)
        case {"type": "array"}:
            item = _type(schema.get("items"), definitions, depth)
            return f"({item})[]" if " " in item else f"{item}[]"
        case {"type": "object", "properties": dict(properties)} if properties and depth > 0:
            required = _list(schema.get("required"))
            fields = (
                f"{name}{'' if name in required else '?'}: {_type(field, definitions, depth - 1)}"
                for name, field in properties.items()
            )
            return f"{{{', '.join(fields)}}}"
        case {"type": str(kind)}:
            return kind
        case _:
            return "any"


def _one_line(text: JsonValue) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
