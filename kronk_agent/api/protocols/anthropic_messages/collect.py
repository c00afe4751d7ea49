"""Assembles a streamed message, for responses that are not streamed."""

from __future__ import annotations

import json
from collections.abc import Iterable

from kronk_agent.messages import JsonObject, JsonValue


def collect_message(events: Iterable[JsonObject]) -> JsonObject:
    """Assemble the message from its stream events, as Anthropic's SDKs do."""
    message: JsonObject = {}
    content: list[JsonValue] = []
    block: JsonObject = {}
    written: list[str] = []
    for event in events:
        match event:
            case {"type": "message_start", "message": dict(begun)}:
                message = {**begun, "content": content}
            case {"type": "content_block_start", "content_block": dict(started)}:
                block = dict(started)
                content.append(block)
            case {"type": "content_block_delta", "delta": dict(delta)}:
                _add(block, delta, written)
            case {"type": "content_block_stop"} if written:
                _write(block, "".join(written))
                written.clear()
            case {"type": "message_delta", "delta": dict(delta), "usage": dict(usage), **rest}:
                begun_usage = message["usage"]
                assert isinstance(begun_usage, dict)
                more = {key: value for key, value in rest.items() if key != "type"}
                message |= {**delta, **more, "usage": {**begun_usage, **usage}}
            case _:
                pass
    return message


def _add(block: JsonObject, delta: JsonObject, written: list[str]) -> None:
    match delta:
        case (
            {"type": "text_delta", "text": str(fragment)}
            | {"type": "thinking_delta", "thinking": str(fragment)}
            | {"type": "input_json_delta", "partial_json": str(fragment)}
        ):
            written.append(fragment)
        case {"type": "signature_delta", "signature": str(signature)}:
            block["signature"] = signature
        case {"type": "citations_delta", "citation": citation}:
            earlier = block.get("citations", [])
            assert isinstance(earlier, list)
            block["citations"] = [*earlier, citation]
        case _:
            raise AssertionError(f"unknown delta: {delta}")


def _write(block: JsonObject, written: str) -> None:
    match block["type"]:
        case "text":
            block["text"] = written
        case "thinking":
            block["thinking"] = written
        case _:
            block["input"] = _input(written)


def _input(written: str) -> JsonValue:
    """The arguments; empty for a truncated call."""
    try:
        value: JsonValue = json.loads(written)
    except ValueError:
        return {}
    return value
