"""What a server says of its tools, and our tools made of that."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

from kronk_agent.errors import ConfigError
from kronk_agent.host.tools.naming import tool_names
from kronk_agent.host.tools.sanitize import strip_invisible, strip_invisible_in_schema
from kronk_agent.messages import JsonObject
from kronk_agent.tools import Rule, Tool, ToolContext, ToolOutput

logger = logging.getLogger(__name__)

CallByName: TypeAlias = Callable[[str, JsonObject, ToolContext], Awaitable[ToolOutput]]
"""Calls the server's tool of that name."""


@dataclass(frozen=True)
class ToolDefinition:
    """One tool in the server's own words."""

    name: str
    description: str | None
    input_schema: JsonObject
    output_schema: JsonObject | None = None
    annotations: JsonObject = field(default_factory=dict)
    """Hints such as ``readOnlyHint``, which nothing proves."""

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of all that is said of the tool, as JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> JsonObject:
        """As in ``tools/list``."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.input_schema,
            "outputSchema": self.output_schema,
            "annotations": self.annotations,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> ToolDefinition:
        """The inverse of ``to_json``.

        Raises:
            ValueError: something is missing or of another type.
        """
        match value:
            case {
                "name": str(name),
                "description": (str() | None) as description,
                "inputSchema": {"type": "object"} as input_schema,
                "outputSchema": (dict() | None) as output_schema,
                "annotations": dict(annotations),
            }:
                assert isinstance(input_schema, dict)
                return cls(name, description, input_schema, output_schema, annotations)
        raise ValueError("not a tool definition")


def usable(server: str, definitions: Sequence[ToolDefinition]) -> list[ToolDefinition]:
    """Without those whose arguments are no object. What else is wrong in a schema is left out."""
    found: list[ToolDefinition] = []
    for definition in definitions:
        try:
            tool = Tool(
                name="checked", description="", parameters=definition.input_schema, strict=False
            )
        except ConfigError:
            logger.warning(
                "MCP server %r: left out tool %s: its schema's type must be 'object'",
                server,
                definition.name,
            )
            continue
        for problem in tool.schema_problems:
            logger.warning(
                "MCP server %r: left out of the schema of tool %s: %s",
                server,
                definition.name,
                problem,
            )
        found.append(definition)
    return found


def to_tools(
    server: str,
    definitions: Sequence[ToolDefinition],
    call: CallByName,
    *,
    rules: Callable[[str], tuple[Rule, ...]] = lambda name: (),
    folders: tuple[Path, ...] | None = None,
) -> tuple[Tool, ...]:
    """Usable definitions as our tools; of two with the same name, the first.

    Args:
        server: what the tools' names begin with.
        definitions: the tools.
        call: calls one of them.
        rules: what the policy has of a tool, by the name the server gives it.
        folders: where relative paths in arguments may begin.
    """
    by_name: dict[str, ToolDefinition] = {}
    for definition in definitions:
        by_name.setdefault(definition.name, definition)
    return tuple(
        _to_tool(name, by_name[own_name], call, rules(own_name), folders)
        for name, own_name in tool_names(server, by_name).items()
    )


def _to_tool(
    name: str,
    definition: ToolDefinition,
    call: CallByName,
    rules: tuple[Rule, ...],
    folders: tuple[Path, ...] | None,
) -> Tool:
    parameters = strip_invisible_in_schema(definition.input_schema)
    assert isinstance(parameters, dict)
    return Tool(
        name=name,
        description=strip_invisible(definition.description or definition.name),
        parameters=parameters,
        call=partial(call, definition.name),
        strict=False,
        rules=rules,
        folders=folders,
        timeout_seconds=math.inf,  # the call bounds itself, and progress moves its bound
        output_schema=_kept_schema(definition.output_schema),
        annotations=definition.annotations,
    )


def _kept_schema(schema: JsonObject | None) -> JsonObject | None:
    """Only objects are passed on as ``structured``, so nothing else is promised."""
    return schema if schema is not None and schema.get("type") == "object" else None
