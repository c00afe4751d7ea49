"""The results of MCP tools as ours."""

from __future__ import annotations

import base64
import json
from typing import assert_never

from mcp.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from kronk_agent.messages import AudioPart, ImagePart, JsonObject, Part, TextPart
from kronk_agent.tool import ToolOutput


def to_output(result: CallToolResult) -> ToolOutput:
    """The result as an output that always has something for the model to read.

    Raises:
        ValueError: an image or sound that is not base64.
    """
    content = tuple(_to_part(block) for block in result.content)
    return ToolOutput(
        content=content or (TextPart(_text_instead(result)),),
        structured=_structured(result),
        is_error=result.is_error,
    )


def _structured(result: CallToolResult) -> JsonObject | None:
    value = result.structured_content
    return value if isinstance(value, dict) else None


def _text_instead(result: CallToolResult) -> str:
    if result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "failed without saying why" if result.is_error else "done"


def _to_part(block: ContentBlock) -> Part:
    match block:
        case TextContent():
            return TextPart(block.text)
        case ImageContent():
            return ImagePart(_decode(block.data), block.mime_type)
        case AudioContent():
            return AudioPart(_decode(block.data), block.mime_type)
        case ResourceLink():
            about = f": {block.description}" if block.description else ""
            return TextPart(f"[resource {block.name} at {block.uri}{about}]")
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return TextPart(f"[resource {resource.uri}]\n{resource.text}")
        case EmbeddedResource(resource=resource):
            kind = resource.mime_type or "binary data"
            return TextPart(f"[resource {resource.uri}: {kind}, not shown]")
        case _:
            assert_never(block)


def _decode(data: str) -> bytes:
    return base64.b64decode(data, validate=True)
