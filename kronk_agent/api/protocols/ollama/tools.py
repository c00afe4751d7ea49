"""Ollama's schema of client tools, and its conversion."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, JsonValue

from kronk_agent.api.protocols.common.schema import LenientModel
from kronk_agent.api.tools.client_tools import function_tool
from kronk_agent.tools import Tool


class Function(LenientModel):
    """The function of a tool."""

    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """JSON Schema of the arguments; no arguments when left out."""


class WireTool(LenientModel):
    """A function tool."""

    type: str | None = None
    """Always ``function``."""
    function: Function


def to_tools(wire: Sequence[WireTool]) -> list[Tool]:
    """Convert the client's tools.

    Raises:
        InvalidRequestError: a name or a schema is invalid.
    """
    return [
        function_tool(
            tool.function.name,
            tool.function.description,
            _without_nulls(tool.function.parameters),
            strict=False,
            path=f"tools.{index}",
        )
        for index, tool in enumerate(wire)
    ]


def _without_nulls(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Remove keywords that are null; clients with optional fields send them."""
    return {key: value for key, value in schema.items() if value is not None}
