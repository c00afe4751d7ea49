"""What a server says of its tools, made usable: a broken definition costs that tool alone."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import mcp.types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from mcp.types.methods import validate_server_result
from mcp.types.version import LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, Schema

from kronk_agent.host.naming import tool_names
from kronk_agent.host.text import visible, visible_schema
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tool import Tool, ToolContext, ToolOutput

logger = logging.getLogger(__name__)

CallByName: TypeAlias = Callable[[str, JsonObject, ToolContext], Awaitable[ToolOutput]]
"""Calls the server's tool of that name."""


def readable(server: str, definitions: Sequence[object]) -> list[JsonObject]:
    """Those of a ``tools/list`` result the SDK can read; it refuses all for a single bad one."""
    return [definition for raw in definitions for definition in _readable(server, raw)]


def _readable(server: str, raw: object) -> Iterator[JsonObject]:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        logger.warning("MCP server %r: left out a tool that has no name", server)
        return
    # Only what we use is kept, so that nothing else can be wrong.
    definition: JsonObject = {
        "name": raw["name"],
        "inputSchema": _saying_object(raw.get("inputSchema") or {}),
    }
    if isinstance(raw.get("description"), str):
        definition["description"] = raw["description"]
    if isinstance(output := raw.get("outputSchema"), dict) and output.get("type") == "object":
        definition["outputSchema"] = output
    try:
        validate_server_result("tools/list", LATEST_HANDSHAKE_VERSION, {"tools": [definition]})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in problem["loc"][2:])  # after tools.0
        words = f"{where}: {problem['msg']}"
        logger.warning("MCP server %r: left out tool %s: %s", server, raw["name"], words)
    else:
        yield definition


def _saying_object(schema: JsonValue) -> JsonValue:
    """The schema with ``"type": "object"`` where it allows that: the protocol wants it said."""
    if not isinstance(schema, dict):
        return schema
    allowed = schema.get("type", "object")
    is_object = allowed == "object" or (isinstance(allowed, list) and "object" in allowed)
    return {**schema, "type": "object"} if is_object else schema


def to_tools(
    server: str, definitions: Sequence[mcp.types.Tool], call: CallByName
) -> tuple[Tool, ...]:
    """The server's tools as ours, without those whose schema nobody could follow."""
    usable: dict[str, mcp.types.Tool] = {}
    for definition in definitions:
        if problem := _schema_problem(definition.input_schema):
            logger.warning("MCP server %r: left out tool %s: %s", server, definition.name, problem)
        else:
            usable.setdefault(definition.name, definition)
    return tuple(
        _to_tool(name, usable[own_name], call)
        for name, own_name in tool_names(server, usable).items()
    )


def _to_tool(name: str, definition: mcp.types.Tool, call: CallByName) -> Tool:
    parameters = visible_schema(definition.input_schema)
    assert isinstance(parameters, dict)
    return Tool(
        name=name,
        description=visible(definition.description or definition.name),
        parameters=parameters,
        call=partial(call, definition.name),
        strict=False,
        timeout_seconds=math.inf,  # the call bounds itself, and progress moves its bound
    )


def _schema_problem(schema: JsonObject) -> str | None:
    """Why arguments could not be checked under the schema; None where they can."""
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        registry: Registry[Schema] = Registry()  # an empty one, which fetches nothing
        resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
        for keyword, value in _keywords(schema):
            match keyword, value:
                case "$ref" | "$dynamicRef", str(reference):
                    resolver.lookup(reference)
                case "pattern", str(pattern):
                    re.compile(pattern)
                case "patternProperties", dict(patterns):
                    for pattern in patterns:
                        re.compile(pattern)
    except SchemaError as error:
        return f"its schema is wrong at {error.json_path}: {error.message}"
    except Unresolvable as error:
        return f"its schema refers to {error.ref!r}, which is not in it"
    except re.error as error:
        return f"its schema has the pattern {error.pattern!r}, which Python cannot use: {error.msg}"
    except RecursionError:
        return "its schema is nested too deeply"
    return None


def _keywords(schema: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    match schema:
        case dict():
            for key, value in schema.items():
                yield key, value
                yield from _keywords(value)
        case list():
            for item in schema:
                yield from _keywords(item)
