"""Messages and tools in the shape chat templates expect: OpenAI's, as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue, Message, TextPart, ToolCall
from kronk_agent.tool import Tool
from kronk_agent.tool.arguments import parse_json


@dataclass(frozen=True, slots=True)
class Shape:
    """What a template wants that others do differently."""

    has_system: bool = True
    """It shows a system message."""
    has_arguments_as_text: bool = False
    """It wants a call's arguments as JSON text, not as an object."""
    empty_content: str | None = None
    """The content of a message that has only calls."""


def message_values(messages: Sequence[Message], shape: Shape) -> list[JsonObject]:
    """The messages as a template reads them.

    Raises:
        InvalidRequestError: a message has an image or a sound.
    """
    if not shape.has_system:
        messages = _with_system_in_user(messages)
    return [_message_value(message, shape) for message in messages]


def tool_value(tool: Tool) -> JsonObject:
    """A tool as a template reads it."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    }


def tool_text(message: Message) -> str:
    """A tool's result as text; what else there was in it is named, as nobody asked for it."""
    return "".join(
        part.text if isinstance(part, TextPart) else f"[{part.media_type} left out]"
        for part in message.content
    )


def join_messages(first: Message, second: Message) -> Message:
    """One message with the role of the second and the text of both."""
    return replace(second, content=(*first.content, TextPart("\n\n"), *second.content))


def _with_system_in_user(messages: Sequence[Message]) -> Sequence[Message]:
    system, *others = messages
    if system.role != "system":
        return messages
    if others and others[0].role == "user":
        return [join_messages(system, others[0]), *others[1:]]
    return [replace(system, role="user"), *others]


def _message_value(message: Message, shape: Shape) -> JsonObject:
    value: JsonObject = {"role": message.role, "content": _text(message)}
    if message.reasoning:
        value["reasoning_content"] = message.reasoning
    if message.tool_calls:
        value["content"] = message.text or shape.empty_content
        value["tool_calls"] = [_call_value(call, shape) for call in message.tool_calls]
    if message.tool_call_id is not None:
        value["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        value["name"] = message.name
    return value


def _text(message: Message) -> str:
    if message.role == "tool":
        return tool_text(message)
    for part in message.content:
        if not isinstance(part, TextPart):
            raise InvalidRequestError(
                f"a {message.role} message has {part.media_type}: this model reads only text",
                param="messages",
            )
    return message.text


def _call_value(call: ToolCall, shape: Shape) -> JsonObject:
    arguments: JsonValue = call.arguments
    if not shape.has_arguments_as_text:
        arguments = _parsed(call.arguments)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _parsed(arguments: str) -> JsonValue:
    """Arguments as an object; as the text it is, if the model once wrote what is not JSON."""
    try:
        return parse_json(arguments or "{}")
    except ValueError:
        return arguments
