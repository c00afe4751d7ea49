"""The client's tools, and whether they are to be called."""

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
from kronk_agent.model import ToolChoice
from kronk_agent.tools import Tool


class Function(LenientModel):
    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    """JSON Schema of the arguments; none at all when left out."""
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused. Otherwise what cannot be is left
    to the client to check."""


class FunctionTool(LenientModel):
    type: Literal["function"]
    function: Function
    cache_control: Annotated[object, NoEffect("prompts share what they begin with")] = None


class TextFormat(RequestModel):
    type: Literal["text"]


class CustomGrammar(RequestModel):
    syntax: Syntax
    """A Lark grammar is shown to the model; a call's arguments cannot be held to it."""
    definition: str


class GrammarFormat(RequestModel):
    type: Literal["grammar"]
    grammar: CustomGrammar


class Custom(RequestModel):
    name: str
    description: str | None = None
    format: Annotated[TextFormat | GrammarFormat, Field(discriminator="type")] | None = None
    """What its input looks like; any text when left out."""


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
    name: str


class NamedFunction(RequestModel):
    type: Literal["function"]
    function: Name


class NamedCustom(RequestModel):
    type: Literal["custom"]
    custom: Name


NamedTool: TypeAlias = Annotated[NamedFunction | NamedCustom, Field(discriminator="type")]


class Allowed(RequestModel):
    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class AllowedTools(RequestModel):
    type: Literal["allowed_tools"]
    allowed_tools: Allowed


WireToolChoice: TypeAlias = (
    Literal["none", "auto", "required"]
    | Annotated[NamedFunction | NamedCustom | AllowedTools, Field(discriminator="type")]
)


def to_tools(wire: Sequence[WireTool]) -> list[Tool]:
    """The client's tools, as tools the client calls.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
    """
    return [
        _tool(tool, f"tools.{index}")
        for index, tool in enumerate(wire)
        if not isinstance(tool, OtherTool)
    ]


def tool_notices(wire: Sequence[WireTool]) -> Iterator[str]:
    """Notices for tools that are left out, and for grammars that are not enforced."""
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
    """The names of the tools whose input is one text."""
    return frozenset(tool.custom.name for tool in wire if isinstance(tool, CustomTool))


def to_tool_choice(wire: WireToolChoice) -> ToolChoice:
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
