"""The tools a client brings itself, whatever its protocol writes them as: the client calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kronk_agent.api.wire import encode
from kronk_agent.errors import ConfigError, InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tool import Tool

_TEXT = "input"
"""The one argument of a tool that takes a text."""


def client_tool(
    name: str, description: str, parameters: JsonObject, *, strict: bool = True, place: str
) -> Tool:
    """A tool, as the request has it at ``place``.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
    """
    try:
        return Tool(name=name, description=description, parameters=parameters, strict=strict)
    except ConfigError as error:
        raise InvalidRequestError(f"{place}: {error.message}", param=place) from None


def function_tool(
    name: str,
    description: str,
    parameters: Mapping[str, JsonValue] | None,
    *,
    strict: bool | None,
    place: str,
) -> Tool:
    """A function as OpenAI has it: without parameters it takes none, and strict is to be asked for.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
    """
    schema: JsonObject = {"type": "object", "properties": {}, **(parameters or {})}
    return client_tool(name, description, schema, strict=bool(strict), place=place)


def text_tool(name: str, description: str, *, regex: str | None, place: str) -> Tool:
    """OpenAI's custom tool: its input is one text, which may have to match an expression.

    Raises:
        InvalidRequestError: a name no tool can have.
    """
    text: JsonObject = {"type": "string"}
    if regex is not None:
        text["pattern"] = f"^(?:{regex})$"
    schema: JsonObject = {
        "type": "object",
        "properties": {_TEXT: text},
        "required": [_TEXT],
        "additionalProperties": False,
    }
    return client_tool(name, description, schema, place=place)


def text_arguments(text: str) -> str:
    """The arguments of a call to such a tool."""
    return encode({_TEXT: text})


def text_in(arguments: str) -> str:
    """The text in them; none while they are not whole."""
    value = parsed_arguments(arguments).get(_TEXT, "")
    return value if isinstance(value, str) else ""


def parsed_arguments(arguments: str) -> JsonObject:
    """Arguments as an object; empty where they were cut off, or are not what the tool takes."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
