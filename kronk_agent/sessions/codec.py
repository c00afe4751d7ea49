"""Encodes messages as JSON for the database, and decodes them."""

from __future__ import annotations

import base64
from typing import assert_never

from kronk_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    JsonValue,
    Message,
    Part,
    TextPart,
    ToolCall,
)


def message_to_json(message: Message) -> JsonObject:
    """Encode a message; empty fields are omitted, and bytes become base64."""
    value: JsonObject = {
        "role": message.role,
        "content": [_part_to_json(part) for part in message.content],
    }
    if message.reasoning:
        value["reasoning"] = message.reasoning
    if message.tool_calls:
        value["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        value["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        value["name"] = message.name
    return value


def message_from_json(value: JsonObject) -> Message:
    """Decode a message, the inverse of ``message_to_json``.

    Raises:
        ValueError: the value is not a message.
    """
    match value:
        case {
            "role": ("system" | "user" | "assistant" | "tool") as role,
            "content": list(content),
            **rest,
        }:
            calls = rest.get("tool_calls", [])
            if not isinstance(calls, list):
                raise ValueError("not tool calls")
            return Message(
                role=role,
                content=tuple(_part_from_json(part) for part in content),
                reasoning=_text(rest.get("reasoning", "")),
                tool_calls=tuple(_call_from_json(call) for call in calls),
                tool_call_id=_optional_text(rest.get("tool_call_id")),
                name=_optional_text(rest.get("name")),
            )
    raise ValueError("not a message")


def _part_to_json(part: Part) -> JsonObject:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(data, media_type):
            return {"type": "image", "data": _base64(data), "media_type": media_type}
        case AudioPart(data, media_type):
            return {"type": "audio", "data": _base64(data), "media_type": media_type}
        case _:
            assert_never(part)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _part_from_json(value: JsonValue) -> Part:
    match value:
        case {"type": "text", "text": str(text)}:
            return TextPart(text)
        case {"type": "image", "data": str(data), "media_type": str(media_type)}:
            return ImagePart(base64.b64decode(data), media_type)
        case {"type": "audio", "data": str(data), "media_type": str(media_type)}:
            return AudioPart(base64.b64decode(data), media_type)
    raise ValueError("not a part of a message")


def _call_from_json(value: JsonValue) -> ToolCall:
    match value:
        case {"id": str(id), "name": str(name), "arguments": str(arguments)}:
            return ToolCall(id, name, arguments)
    raise ValueError("not a tool call")


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _optional_text(value: JsonValue) -> str | None:
    return None if value is None else _text(value)
