"""Rebuilds the result of a tool call from its readable parts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import PurePosixPath

from kronk_agent.host.results.structured import is_shown, to_text
from kronk_agent.messages import JsonObject, JsonValue

_TEXT_KEYS = ("text", "content", "markdown", "json", "value", "html", "xml", "code")
"""Fields in which blocks of unknown types may have their text."""


def normalize_call_result(result: JsonObject, *, any_structure: bool) -> JsonObject:
    """Make every content block of a result valid; other kinds of results are unchanged.

    Args:
        result: result of ``tools/call``.
        any_structure: ``structuredContent`` may be any JSON (2026 and later), not just an object.
    """
    if result.get("resultType", "complete") not in (None, "complete"):
        return result  # the server asks for input first, or created a task
    blocks = [normalize_block(block) for block in _blocks(result)]
    valid = {key: value for key, value in result.items() if key != "structuredContent"}
    structured = result.get("structuredContent")
    if isinstance(structured, dict) or (any_structure and structured is not None):
        valid["structuredContent"] = structured
    elif structured is not None and not is_shown(structured, [_text_of(b) for b in blocks]):
        blocks.append(_text(to_text(structured)))
    valid["content"] = list(blocks)
    valid["isError"] = result.get("isError") in (True, "true", "True", 1)
    return valid


def normalize_block(block: JsonValue) -> JsonObject:
    """Reduce a content block to the fields in use; an unreadable one is named."""
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
            return {"type": "resource", "resource": normalize_resource(resource)}
        case {"type": "resource", "uri": str()}:
            return {"type": "resource", "resource": normalize_resource(block)}
        case {"type": str(kind)}:
            return _unknown(kind, block)
        case {"mimeType": str(media_type), "data": _}:
            return normalize_block({**block, "type": media_type.partition("/")[0]})
        case {"text": text}:
            return _text(to_text(text))
        case _:
            return _text(to_text(block))


def normalize_resource(resource: Mapping[str, JsonValue]) -> JsonObject:
    """Contents of a resource: text, or bytes in base64."""
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
        case None if "toolResult" in result:  # servers of 2024
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
        case {"source": dict(source)}:  # Anthropic's API
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
    """Bytes as base64; some servers send the JSON form of a Node Buffer."""
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
