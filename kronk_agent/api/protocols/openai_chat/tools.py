"""OpenAI's schema of client tools and tool choice, and its conversion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag

from kronk_agent.api.protocols.common.schema import LenientModel, NoEffect, RequestModel
from kronk_agent.api.tools.client_tools import (
    OtherTool,
    Syntax,
    function_tool,
    kind_of_tool,
    missing_tool,
    text_tool,
    unenforced_grammar,
)
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool


class Function(LenientModel):
    """The function of a tool."""

    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    """JSON Schema of the arguments; no arguments when left out."""
    strict: bool | None = None
    """True: reject a schema that cannot be enforced completely. Otherwise the client must check
    what is not enforced."""


class FunctionTool(LenientModel):
    """A function tool."""

    type: Literal["function"]
    function: Function
    cache_control: Annotated[object, NoEffect("prompts share their common prefix anyway")] = None


class TextFormat(RequestModel):
    """Input format: any text."""

    type: Literal["text"]


class CustomGrammar(RequestModel):
    """A grammar of a custom tool's input."""

    syntax: Syntax
    """A regex is enforced; a Lark grammar is only shown to the model."""
    definition: str


class GrammarFormat(RequestModel):
    """Input format: a grammar."""

    type: Literal["grammar"]
    grammar: CustomGrammar


class Custom(RequestModel):
    """The definition of a custom tool."""

    name: str
    description: str | None = None
    format: Annotated[TextFormat | GrammarFormat, Field(discriminator="type")] | None = None
    """Format of the input; any text when left out."""


class CustomTool(RequestModel):
    """A tool whose input is one text."""

    type: Literal["custom"]
    custom: Custom


WireTool: TypeAlias = Annotated[
    Annotated[FunctionTool, Tag("function")]
    | Annotated[CustomTool, Tag("custom")]
    | Annotated[OtherTool, Tag("other")],
    Discriminator(kind_of_tool("function", "custom")),
]


class Name(RequestModel):
    """The name of a tool."""

    name: str


class NamedFunction(RequestModel):
    """A function tool, by name."""

    type: Literal["function"]
    function: Name


class NamedCustom(RequestModel):
    """A custom tool, by name."""

    type: Literal["custom"]
    custom: Name


NamedTool: TypeAlias = Annotated[NamedFunction | NamedCustom, Field(discriminator="type")]


class Allowed(RequestModel):
    """A selection of tools, and whether one of them must be called."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class AllowedTools(RequestModel):
    """A tool choice that allows only a selection of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: Allowed


WireToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | Annotated[NamedFunction | NamedCustom | AllowedTools, Field(discriminator="type")]
)


def to_tools(wire: Sequence[WireTool]) -> list[Tool]:
    """Convert the client's tools; tools of unknown types are left out.

    Raises:
        InvalidRequestError: a name or a schema is invalid.
    """
    return [
        _tool(tool, f"tools.{index}")
        for index, tool in enumerate(wire)
        if not isinstance(tool, OtherTool)
    ]


def tool_notices(wire: Sequence[WireTool]) -> Iterator[str]:
    """Notices for ignored tools, and for grammars that are not enforced."""
    for index, tool in enumerate(wire):
        match tool:
            case OtherTool(type=kind):
                yield missing_tool(f"tools.{index}", kind)
            case CustomTool(
                custom=Custom(format=GrammarFormat(grammar=CustomGrammar(syntax="lark")))
            ):
                yield unenforced_grammar(f"tools.{index}.custom.format")
            case _:
                pass


def custom_names(wire: Sequence[WireTool]) -> frozenset[str]:
    """The names of the custom tools."""
    return frozenset(tool.custom.name for tool in wire if isinstance(tool, CustomTool))


def to_tool_choice(wire: WireToolChoice) -> ToolChoice:
    """Convert a tool choice."""
    match wire:
        case str(mode):
            return ToolChoice(mode)
        case AllowedTools(allowed_tools=allowed):
            return ToolChoice(allowed.mode, allowed=tuple(_name(tool) for tool in allowed.tools))
        case _:
            return ToolChoice("named", _name(wire))


def _name(tool: NamedFunction | NamedCustom) -> str:
    return tool.function.name if isinstance(tool, NamedFunction) else tool.custom.name


def _tool(tool: FunctionTool | CustomTool, path: str) -> Tool:
    if isinstance(tool, CustomTool):
        custom = tool.custom
        form = custom.format
        grammar = form.grammar if isinstance(form, GrammarFormat) else None
        return text_tool(
            custom.name,
            custom.description or "",
            syntax=grammar.syntax if grammar else None,
            definition=grammar.definition if grammar else "",
            path=path,
        )
    function = tool.function
    return function_tool(
        function.name,
        function.description or "",
        function.parameters,
        strict=function.strict,
        path=path,
    )
