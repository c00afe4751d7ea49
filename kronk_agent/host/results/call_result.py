"""The result of a call, rebuilt from what can be read of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import PurePosixPath

from kronk_agent.host.results.structured import is_shown, to_text
from kronk_agent.messages import JsonObject, JsonValue

_TEXT_KEYS = ("text", "content", "markdown", "json", "value", "html", "xml", "code")
"""Where blocks of unknown kinds have their text."""


def valid_call_result(result: JsonObject, *, any_structure: bool) -> JsonObject:
    """The result with content blocks that are all valid; one that says something else stays.

    Args:
        result: of ``tools/call``.
        any_structure: ``structuredContent`` may be any JSON, as since 2026; before, an object.
    """
    if result.get("resultType", "complete") not in (None, "complete"):
        return result  # input is wanted first, or a task was begun
    blocks = [valid_block(block) for block in _blocks(result)]
    valid = {key: value for key, value in result.items() if key != "structuredContent"}
    structured = result.get("structuredContent")
    if isinstance(structured, dict) or (any_structure and structured is not None):
        valid["structuredContent"] = structured
    elif structured is not None and not is_shown(structured, [_text_of(b) for b in blocks]):
        blocks.append(_text(to_text(structured)))
    valid["content"] = list(blocks)
    valid["isError"] = result.get("isError") in (True, "true", "True", 1)
    return valid


def valid_block(block: JsonValue) -> JsonObject:
    """A content block with only what we use of it; one that cannot be read is named."""
    if not isinstance(block, dict):
        return _text(to_text(block))
    match block:
        case {"type": "text"}:
            return _text(to_text(block.get("text")))
        case {"type": "image" | "audio" as kind}:
            return _media(str(kind), block)
        case {"type": "resource_link", "uri": str(uri)}:
            return _link(uri, block)
        case {"type": "resource", "resource": dict(resource)} | {"resource": dict(resource)}:
            return {"type": "resource", "resource": valid_resource(resource)}
        case {"type": "resource", "uri": str()}:
            return {"type": "resource", "resource": valid_resource(block)}
        case {"type": str(kind)}:
            return _unknown(kind, block)
        case {"mimeType": str(media_type), "data": _}:
            return valid_block({**block, "type": media_type.partition("/")[0]})
        case {"text": text}:
            return _text(to_text(text))
        case _:
            return _text(to_text(block))


def valid_resource(resource: Mapping[str, JsonValue]) -> JsonObject:
    """What a resource held: text, or bytes in base64."""
    uri, media_type = resource.get("uri"), resource.get("mimeType")
    valid: JsonObject = {"uri": uri if isinstance(uri, str) else ""}
    if isinstance(media_type, str) and media_type:
        valid["mimeType"] = media_type
    text, blob = resource.get("text"), _encoded(resource.get("blob"))
    if text is None and blob is not None:
        return valid | {"blob": blob}
    return valid | {"text": to_text(text)}


def _blocks(result: Mapping[str, JsonValue]) -> list[JsonValue]:
    match result.get("content"):
        case list() as blocks:
            return blocks
        case None if "toolResult" in result:  # as servers of 2024 sent it
            return [to_text(result["toolResult"])]
        case None if result.get("structuredContent") is None and "content" not in result:
            rest = {k: v for k, v in result.items() if k not in ("_meta", "isError", "resultType")}
            return [to_text(rest)] if rest else []
        case None:
            return []
        case block:
            return [block]


def _media(kind: str, block: Mapping[str, JsonValue]) -> JsonObject:
    media_type = block.get("mimeType") or block.get("mime_type") or block.get("media_type")
    data = _encoded(block.get("data"))
    match block:
        case _ if data is not None:
            pass
        case {"source": dict(source)}:  # as Anthropic's API has it
            return _media(kind, source)
        case {"url": str(url)} | {"uri": str(url)} if url.startswith("data:"):
            data = url
        case {"url": str(url)} | {"uri": str(url)}:
            return _text(f"[{kind} at {url}, not shown]")
        case _:
            return _text(f"[{kind}, not shown: it has no data]")
    named = media_type if isinstance(media_type, str) else ""
    return {"type": kind, "data": data, "mimeType": named}


def _encoded(data: JsonValue) -> str | None:
    """Bytes as base64: some servers send Node's way of writing a Buffer."""
    match data:
        case str() if data:
            return data
        case {"type": "Buffer", "data": list(numbers)} | list(numbers):
            try:
                return base64.b64encode(bytes(numbers)).decode()  # type: ignore[arg-type]
            except (TypeError, ValueError):
                return None
        case _:
            return None


def _link(uri: str, block: Mapping[str, JsonValue]) -> JsonObject:
    name, about = block.get("name"), block.get("description")
    link: JsonObject = {"type": "resource_link", "uri": uri}
    link["name"] = name if isinstance(name, str) and name else PurePosixPath(uri).name or uri
    return link | ({"description": about} if isinstance(about, str) else {})


def _unknown(kind: str, block: Mapping[str, JsonValue]) -> JsonObject:
    for key in (kind, *_TEXT_KEYS):
        if (value := block.get(key)) not in (None, ""):
            return _text(to_text(value))
    media_type = block.get("mimeType")
    about = f" ({media_type})" if isinstance(media_type, str) else ""
    return _text(f"[content of the unknown kind {kind!r}{about}, not shown]")


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _text_of(block: JsonObject) -> str:
    return to_text(block.get("text"))
