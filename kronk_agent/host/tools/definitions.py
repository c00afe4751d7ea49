"""Tool definitions as the server lists them, and their conversion to ``Tool``."""

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
    """One tool as the server describes it."""

    name: str
    description: str | None
    input_schema: JsonObject
    output_schema: JsonObject | None = None
    annotations: JsonObject = field(default_factory=dict)
    """Hints such as ``readOnlyHint``; unverified claims of the server."""

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the whole definition as JSON with sorted keys."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> JsonObject:
        """Serialize as in ``tools/list``."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.input_schema,
            "outputSchema": self.output_schema,
            "annotations": self.annotations,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> ToolDefinition:
        """Inverse of ``to_json``.

        Raises:
            ValueError: a field is missing or has the wrong type.
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


def usable_definitions(server: str, definitions: Sequence[ToolDefinition]) -> list[ToolDefinition]:
    """Drop definitions whose arguments are not an object, with a warning.

    Other invalid parts of a schema are ignored, with a warning.
    """
    kept: list[ToolDefinition] = []
    for definition in definitions:
        try:
            tool = Tool(
                name="checked", description="", parameters=definition.input_schema, strict=False
            )
        except ConfigError:
            logger.warning(
                "MCP server %r: ignored tool %s: its schema's type must be 'object'",
                server,
                definition.name,
            )
            continue
        for problem in tool.schema_problems:
            logger.warning(
                "MCP server %r: ignored in the schema of tool %s: %s",
                server,
                definition.name,
                problem,
            )
        kept.append(definition)
    return kept


def to_tools(
    server: str,
    definitions: Sequence[ToolDefinition],
    call: CallByName,
    *,
    rules: Callable[[str], tuple[Rule, ...]] = lambda name: (),
    folders: tuple[Path, ...] | None = None,
) -> tuple[Tool, ...]:
    """Convert usable definitions to tools; of duplicate names, the first wins.

    Args:
        server: prefix of the tools' names.
        definitions: the tools.
        call: calls one of them.
        rules: policy rules about a tool, by the server's own name for it.
        folders: directories that relative paths in arguments may start from.
    """
    by_name: dict[str, ToolDefinition] = {}
    for definition in definitions:
        by_name.setdefault(definition.name, definition)
    return tuple(
        _to_tool(name, by_name[original], call, rules(original), folders)
        for name, original in tool_names(server, by_name).items()
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
        timeout_seconds=math.inf,  # McpServer applies the timeout, which progress renews
        output_schema=_kept_schema(definition.output_schema),
        annotations=definition.annotations,
    )


def _kept_schema(schema: JsonObject | None) -> JsonObject | None:
    """The schema, if it is an object's: only objects are returned as ``structured``."""
    return schema if schema is not None and schema.get("type") == "object" else None
