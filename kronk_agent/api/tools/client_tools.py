"""Client tools, whatever the protocol: declared in the request, called by the client."""

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
"""The single argument of a tool that takes a text."""
_MAX_SHOWN = 80
_VERSION = re.compile(r"(_preview)?(_\d{4}_\d\d_\d\d)?$")


class OtherTool(BaseModel):
    """A tool type of another provider's service; it does not exist here and is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str


def kind_of_tool(*known: str) -> Callable[[Any], str | None]:
    """Return a discriminator for tools: one of the known ``type``s, with any date, or ``other``."""

    def kind(tool: Any) -> str | None:
        """The known type of ``tool``, ``other`` for any other, None if it has none."""
        given = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
        if not isinstance(given, str):
            return None
        undated = _VERSION.sub("", given)
        return undated if undated in known else "other"

    return kind


def missing_tool(path: str, kind: str) -> str:
    """The notice for a tool that is left out."""
    return f"{path}: tools of type {kind[:_MAX_SHOWN]} are not available here; the tool is left out"


def unenforced_grammar(path: str) -> str:
    """The notice for a Lark grammar of a tool's input."""
    return f"{path}: the Lark grammar is shown to the model, but not enforced inside a call"


def client_tool(
    name: str, description: str, parameters: JsonObject, *, strict: bool = True, path: str
) -> Tool:
    """Create a client tool that the request declares at ``path``.

    Raises:
        InvalidRequestError: the name or the schema is invalid.
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
    """Create an OpenAI function tool, by default without parameters and not strict.

    Raises:
        InvalidRequestError: the name or the schema is invalid.
    """
    schema: JsonObject = {"type": "object", "properties": {}, **(parameters or {})}
    return client_tool(name, description, schema, strict=bool(strict), path=path)


def text_tool(
    name: str, description: str, *, syntax: Syntax | None, definition: str, path: str
) -> Tool:
    """Create an OpenAI custom tool, whose input is one text.

    Args:
        name: the tool's name.
        description: shown to the model.
        syntax: of ``definition``; None allows any text. A Lark grammar cannot be enforced inside a
            call's arguments, so it is shown to the model instead.
        definition: a regular expression or a grammar that the text must match.
        path: of the tool in the request, for errors.

    Raises:
        InvalidRequestError: the name is invalid.
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
    """The JSON arguments of a call to a text tool."""
    return encode({_TEXT: text})


def text_in(arguments: str) -> str:
    """The text in the arguments of a call to a text tool; empty while they are incomplete."""
    value = parsed_arguments(arguments).get(_TEXT, "")
    return value if isinstance(value, str) else ""


def parsed_arguments(arguments: str) -> JsonObject:
    """The arguments as an object; empty if they are truncated or not an object."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
