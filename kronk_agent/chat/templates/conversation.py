"""Messages and tools in the JSON format of chat templates, which is OpenAI's.

Template families differ in the details. ``TemplateCapabilities`` describes them, and
``capabilities.py`` finds those of a template.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic_core import from_json

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    JsonValue,
    Message,
    TextPart,
    ToolCall,
)
from kronk_agent.tools import Tool
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.schema.walking import with_schemas

CallIds: TypeAlias = Literal["ours", "nine", "indexed"]
"""Format of call ids: ``ours`` leaves them unchanged, ``nine`` is nine letters and digits
(Mistral), ``indexed`` is ``functions.NAME:INDEX`` (Kimi K2)."""
ReasoningField: TypeAlias = Literal["reasoning_content", "thinking", "reasoning", "thought", "part"]
"""Message key of the thinking; ``part`` is a part of the content."""

_NINE = re.compile(r"[A-Za-z0-9]{9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateCapabilities:
    """Message format a template expects, as far as templates differ in it."""

    has_system: bool = True
    """The template shows a system message."""
    has_later_system: bool = True
    """The template shows a second system message, and one in the middle of the conversation."""
    has_many_calls: bool = True
    """The template accepts several calls in one message."""
    has_arguments_as_text: bool = False
    """The template expects a call's arguments as JSON text, not as an object."""
    has_parts: bool = False
    """The template expects content as a list of parts, not as text."""
    has_alternation: bool = False
    """The template requires user and assistant messages to alternate."""
    has_user_after_result: bool = True
    """The template accepts a user message directly after a tool result."""
    needs_typed_properties: bool = False
    """The template requires a type and a description for every property of a tool."""
    empty_content: str | None = None
    """Content of a message that has only calls."""
    call_ids: CallIds = "ours"
    """Format of call ids."""
    reasoning: ReasoningField | None = None
    """Message key of the thinking. If None, the template shows no thinking, and the usual key is
    used."""
    has_reasoning_beside_content: bool = True
    """A message with calls may have both thinking and content."""


def message_values(
    messages: Sequence[Message], capabilities: TemplateCapabilities
) -> list[JsonObject]:
    """Convert messages to the format a template expects.

    Raises:
        InvalidRequestError: a message has an image or audio.
    """
    messages = [with_valid_arguments(message) for message in messages]
    if not capabilities.has_later_system:
        messages = _with_one_system(messages)
    if not capabilities.has_system:
        messages = _with_system_in_user(messages)
    if not capabilities.has_many_calls:
        messages = _with_one_call_a_turn(messages)
    if capabilities.has_alternation:
        messages = _merged(messages)
    if not capabilities.has_user_after_result:
        messages = _with_user_in_result(messages)
    ids = _call_ids(messages, capabilities.call_ids)
    return [_message_value(message, capabilities, ids) for message in messages]


def tool_value(tool: Tool, capabilities: TemplateCapabilities) -> JsonObject:
    """Convert a tool to the format a template expects."""
    schema = tool.parameters
    if capabilities.needs_typed_properties:
        schema = with_schemas(schema, _typed_property)
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": schema},
    }


def _typed_property(schema: JsonValue) -> JsonValue:
    """Add a type and a description to a schema and its subschemas."""
    if not isinstance(schema, dict):
        return {"type": "string", "description": ""}
    has_members = schema.keys() & {"properties", "$ref", "anyOf", "oneOf", "allOf"}
    kind = "array" if "items" in schema else "object" if has_members else "string"
    return {"type": kind, "description": ""} | with_schemas(schema, _typed_property)


def tool_text(message: Message) -> str:
    """Return a tool result as text; other parts are replaced by their media type.

    They are not refused, since no client asked for them.
    """
    return "".join(
        part.text if isinstance(part, TextPart) else f"[{part.media_type} left out]"
        for part in message.content
    )


def with_valid_arguments(message: Message) -> Message:
    """Return the message with the arguments of its calls as JSON objects, as all templates require.

    Arguments that a token limit cut off are closed where they end. Any other value becomes the
    member ``arguments`` of an object.
    """
    if not message.tool_calls:
        return message
    return replace(
        message, tool_calls=tuple(_with_valid_arguments(call) for call in message.tool_calls)
    )


def join_messages(first: Message, second: Message) -> Message:
    """Join two messages into one with the role of the second."""
    if not first.content or not second.content:
        return replace(second, content=(*first.content, *second.content))
    return replace(second, content=(*first.content, TextPart("\n\n"), *second.content))


def _with_one_system(messages: Sequence[Message]) -> list[Message]:
    """Join the system messages at the beginning; later ones become user messages."""
    joined: list[Message] = []
    for message in messages:
        if message.role != "system" or not joined:
            joined.append(message)
        elif len(joined) == 1 and joined[0].role == "system":
            joined[0] = join_messages(joined[0], message)
        else:
            joined.append(replace(message, role="user"))
    return joined


def _with_one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    """Move each call to a message of its own, followed by its result."""
    results = {message.tool_call_id: message for message in messages if message.tool_call_id}
    turns: list[Message] = []
    moved: set[str] = set()
    for message in messages:
        if message.tool_call_id in moved:
            continue
        if len(message.tool_calls) < 2:
            turns.append(message)
            continue
        for index, call in enumerate(message.tool_calls):
            base = message if index == 0 else replace(message, content=(), reasoning="")
            turns.append(replace(base, tool_calls=(call,)))
            if call.id in results:
                turns.append(results[call.id])
                moved.add(call.id)
    return turns


def _with_system_in_user(messages: Sequence[Message]) -> Sequence[Message]:
    system, *others = messages
    if system.role != "system":
        return messages
    if others and others[0].role == "user":
        return [join_messages(system, others[0]), *others[1:]]
    return [replace(system, role="user"), *others]


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Merge consecutive messages of the same role, user or assistant."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.role == message.role in ("user", "assistant")
            and not last.tool_calls
        ):
            merged[-1] = replace(
                join_messages(last, message), reasoning=last.reasoning + message.reasoning
            )
        else:
            merged.append(message)
    return merged


def _with_user_in_result(messages: Sequence[Message]) -> list[Message]:
    """Append a user message that follows a tool result to that result."""
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and last.role == "tool" and message.role == "user":
            content = (*last.content, TextPart("\n\n"), *message.content)
            joined[-1] = replace(last, content=content)
        else:
            joined.append(message)
    return joined


def _call_ids(messages: Sequence[Message], form: CallIds) -> dict[str, str]:
    """Map each call's id to the id in the template's format."""
    calls = [call for message in messages for call in message.tool_calls]
    match form:
        case "ours":
            return {}
        case "nine":
            return {call.id: _nine(call.id) for call in calls}
        case "indexed":
            return {call.id: f"functions.{call.name}:{i}" for i, call in enumerate(calls)}


def _nine(id: str) -> str:
    return id if _NINE.fullmatch(id) else hashlib.sha256(id.encode()).hexdigest()[:9]


def _message_value(
    message: Message, capabilities: TemplateCapabilities, ids: dict[str, str]
) -> JsonObject:
    value: JsonObject = {"role": message.role, "content": _content(message, capabilities)}
    if message.reasoning:
        _add_reasoning(value, message, capabilities)
    if message.tool_calls:
        if not message.content:
            value["content"] = capabilities.empty_content
        value["tool_calls"] = [
            _call_value(call, capabilities, ids.get(call.id, call.id))
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        value["tool_call_id"] = ids.get(message.tool_call_id, message.tool_call_id)
    if message.name is not None:
        value["name"] = message.name
    return value


def _add_reasoning(value: JsonObject, message: Message, capabilities: TemplateCapabilities) -> None:
    if message.tool_calls and message.content and not capabilities.has_reasoning_beside_content:
        return
    if capabilities.reasoning == "part":
        text: list[JsonValue] = [{"type": "text", "text": message.text}] if message.text else []
        value["content"] = [{"type": "thinking", "thinking": message.reasoning}, *text]
    else:
        value[capabilities.reasoning or "reasoning_content"] = message.reasoning


def _content(message: Message, capabilities: TemplateCapabilities) -> JsonValue:
    if message.role == "tool":
        text = tool_text(message)
    else:
        for part in message.content:
            if isinstance(part, ImagePart | AudioPart):
                raise InvalidRequestError(
                    f"a {message.role} message has {part.media_type}: this model reads only text",
                    param="messages",
                )
        text = message.text
    if capabilities.has_parts:
        return [{"type": "text", "text": text}]
    return text


def _call_value(call: ToolCall, capabilities: TemplateCapabilities, id: str) -> JsonObject:
    as_text = capabilities.has_arguments_as_text
    arguments: JsonValue = call.arguments if as_text else parse_json(call.arguments)
    return {
        "id": id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _with_valid_arguments(call: ToolCall) -> ToolCall:
    text = call.arguments
    with suppress(ValueError):
        if isinstance(parse_json(text), dict):
            return call
    value: JsonValue = {} if not text.strip() else None
    with suppress(ValueError):
        value = value or from_json(text, allow_partial="trailing-strings", allow_inf_nan=False)
    if not isinstance(value, dict):
        value = {"arguments": text}
    return replace(call, arguments=json.dumps(value, ensure_ascii=False))
