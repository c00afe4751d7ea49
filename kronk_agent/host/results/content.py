"""What MCP servers send, as ours: results, resources and prompts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import assert_never

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    ReadResourceResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from kronk_agent.host.offers import PromptMessages, ResourceContents
from kronk_agent.messages import AudioPart, ImagePart, JsonObject, Message, Part, TextPart
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


def to_contents(result: ReadResourceResult) -> Iterable[ResourceContents]:
    """What was read: often one, but a folder may give many.

    Raises:
        ValueError: an image or sound that is not base64.
    """
    for contents in result.contents:
        match contents:
            case TextResourceContents():
                part: Part = TextPart(contents.text)
            case BlobResourceContents():
                part = _blob(contents)
            case _:
                assert_never(contents)
        yield ResourceContents(contents.uri, (part,))


def to_prompt_messages(result: GetPromptResult) -> PromptMessages:
    """The prompt's messages.

    Raises:
        ValueError: an image or sound that is not base64.
    """
    messages = tuple(
        Message(message.role, (_to_part(message.content),)) for message in result.messages
    )
    return PromptMessages(result.description, messages)


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
        case EmbeddedResource():
            return _embedded(block.resource)
        case _:
            assert_never(block)


def _embedded(resource: TextResourceContents | BlobResourceContents) -> Part:
    if isinstance(resource, TextResourceContents):
        return TextPart(f"[resource {resource.uri}]\n{resource.text}")
    return _blob(resource)


def _blob(contents: BlobResourceContents) -> Part:
    kind = contents.mime_type or "binary data"
    if kind.startswith("image/"):
        return ImagePart(_decode(contents.blob), kind)
    if kind.startswith("audio/"):
        return AudioPart(_decode(contents.blob), kind)
    return TextPart(f"[resource {contents.uri}: {kind}, not shown]")


def _decode(data: str) -> bytes:
    return base64.b64decode(data, validate=True)
