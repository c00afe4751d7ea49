"""Repairs a ``tools/list`` result: the SDK rejects all tools if one is invalid."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from mcp.types.methods import validate_server_result
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, Schema

from kronk_agent.messages import JsonObject, JsonValue

logger = logging.getLogger(__name__)

OUTPUT_SCHEMA = "kronk-agent/outputSchema"
"""``_meta`` key of a tool's output schema; in its own field the SDK would reject results that
violate it."""

_HINTS = ("title", "readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


def readable_tools(server: str, definitions: Sequence[object], version: str) -> list[JsonObject]:
    """Valid tools of a ``tools/list`` result, reduced to the fields in use."""
    return [definition for raw in definitions for definition in _readable(server, raw, version)]


def _readable(server: str, raw: object, version: str) -> Iterator[JsonObject]:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        logger.warning("MCP server %r: ignored a tool without a name", server)
        return
    # Only the fields in use are kept, so that no other can be invalid.
    definition: JsonObject = {
        "name": raw["name"],
        "inputSchema": _with_object_types(raw.get("inputSchema") or {}),
    }
    if isinstance(raw.get("description"), str):
        definition["description"] = raw["description"]
    output = raw.get("outputSchema")
    # Before 2026 structured content was always an object. Without a schema a result is not checked.
    is_known = version not in HANDSHAKE_PROTOCOL_VERSIONS or _is_object_schema(output)
    if isinstance(output, dict) and is_known and can_be_checked(output):
        definition["_meta"] = {OUTPUT_SCHEMA: output}
    if isinstance(hints := raw.get("annotations"), dict):
        definition["annotations"] = {
            name: value
            for name in _HINTS
            if isinstance(value := hints.get(name), str if name == "title" else bool)
        }
    try:
        # Validated under the older version, in which a listing needs no other fields.
        validate_server_result("tools/list", LATEST_HANDSHAKE_VERSION, {"tools": [definition]})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in problem["loc"][2:])  # after tools.0
        problem_text = f"{where}: {problem['msg']}"
        logger.warning("MCP server %r: ignored tool %s: %s", server, raw["name"], problem_text)
    else:
        yield definition


def _with_object_types(schema: JsonValue) -> JsonValue:
    """Add ``"type": "object"`` where the schema allows it, and make its properties objects.

    The protocol requires both.
    """
    if not isinstance(schema, dict):
        return schema
    allowed = schema.get("type", "object")
    names = allowed if isinstance(allowed, list) else [allowed]
    is_object = any(isinstance(name, str) and name.lower() == "object" for name in names)
    repaired: JsonObject = {**schema, "type": "object"} if is_object else schema
    properties = repaired.get("properties")
    if isinstance(properties, dict):
        repaired = {
            **repaired,
            "properties": {name: _as_object(p) for name, p in properties.items()},
        }
    return repaired


def _as_object(schema: JsonValue) -> JsonValue:
    if isinstance(schema, dict):
        return schema
    return {"not": {}} if schema is False else {}


def _is_object_schema(schema: object) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object"


def can_be_checked(schema: JsonObject) -> bool:
    """True if the schema is valid and all its references are internal."""
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        registry: Registry[Schema] = Registry()  # an empty one, which fetches nothing
        resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
        for reference in _references(schema):
            resolver.lookup(reference)
    except (SchemaError, Unresolvable, RecursionError):
        return False
    return True


def _references(schema: JsonValue) -> Iterator[str]:
    match schema:
        case dict():
            for key, value in schema.items():
                if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                    yield value
                else:
                    yield from _references(value)
        case list():
            for item in schema:
                yield from _references(item)
