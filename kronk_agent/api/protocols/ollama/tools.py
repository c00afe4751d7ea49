"""The client's tools, as Ollama writes them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, JsonValue

from kronk_agent.api.protocols.common.schema import LenientModel
from kronk_agent.api.tools.client_tools import function_tool
from kronk_agent.tools import Tool


class Function(LenientModel):
    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """JSON Schema of the arguments; none at all when left out."""


class WireTool(LenientModel):
    type: str | None = None
    """Always ``function``."""
    function: Function


def to_tools(wire: Sequence[WireTool]) -> list[Tool]:
    """The client's tools, as tools the client calls.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
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
    """The schema without keywords that are null, as clients with optional fields send them."""
    return {key: value for key, value in schema.items() if value is not None}
