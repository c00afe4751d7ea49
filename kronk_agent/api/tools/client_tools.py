"""The tools a client brings itself, whatever its protocol writes them as: the client calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.errors import ConfigError, InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools import Tool

Syntax: TypeAlias = Literal["lark", "regex"]

_TEXT = "input"
"""The one argument of a tool that takes a text."""
_MAX_SHOWN = 80
_VERSION = re.compile(r"(_preview)?(_\d{4}_\d\d_\d\d)?$")


class OtherTool(BaseModel):
    """A tool of another provider's service, which there is not here: it is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str


def kind_of_tool(*known: str) -> Callable[[Any], str | None]:
    """Tells tools apart by their ``type``: one of the known ones, of any date, or ``other``."""

    def kind(tool: Any) -> str | None:
        given = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
        if not isinstance(given, str):
            return None
        undated = _VERSION.sub("", given)
        return undated if undated in known else "other"

    return kind


def missing_tool(path: str, kind: str) -> str:
    """The notice for a tool that is left out."""
    return f"{path}: there is no {kind[:_MAX_SHOWN]} here, so the tool is left out"


def unenforced_grammar(path: str) -> str:
    """The notice for a Lark grammar of a tool's input."""
    return f"{path}: a Lark grammar is shown to the model, and not enforced inside a call"


def client_tool(
    name: str, description: str, parameters: JsonObject, *, strict: bool = True, path: str
) -> Tool:
    """A tool, as the request has it at ``place``.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
    """
    try:
        return Tool(name=name, description=description, parameters=parameters, strict=strict)
    except ConfigError as error:
        raise InvalidRequestError(f"{path}: {error.message}", param=path) from None


def function_tool(
    name: str,
    description: str,
    parameters: Mapping[str, JsonValue] | None,
    *,
    strict: bool | None,
    path: str,
) -> Tool:
    """A function as OpenAI has it: without parameters it takes none, and strict is to be asked for.

    Raises:
        InvalidRequestError: a name or a schema that no tool can have.
    """
    schema: JsonObject = {"type": "object", "properties": {}, **(parameters or {})}
    return client_tool(name, description, schema, strict=bool(strict), path=path)


def text_tool(
    name: str, description: str, *, syntax: Syntax | None, definition: str, path: str
) -> Tool:
    """OpenAI's custom tool: its input is one text.

    Args:
        name: what the model calls it.
        description: what the model is told of it.
        syntax: of what the text has to match; None where it may be anything. A Lark grammar cannot
            be enforced inside a call's arguments, so the model is shown it.
        definition: a regular expression, or a grammar.
        place: where the request has the tool.

    Raises:
        InvalidRequestError: a name no tool can have.
    """
    text: JsonObject = {"type": "string"}
    if syntax == "regex":
        text["pattern"] = f"^(?:{definition})$"
    if syntax == "lark":
        description = f"{description}\nThe input follows this Lark grammar:\n{definition}".lstrip()
    schema: JsonObject = {
        "type": "object",
        "properties": {_TEXT: text},
        "required": [_TEXT],
        "additionalProperties": False,
    }
    return client_tool(name, description, schema, path=path)


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
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
