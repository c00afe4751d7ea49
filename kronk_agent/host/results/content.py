"""Conversion of MCP results, resources and prompts to our types."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias, assert_never

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

from kronk_agent.errors import ToolError
from kronk_agent.host.resources.types import PromptMessages, ResourceContents
from kronk_agent.host.results import base64_data
from kronk_agent.host.results.structured import is_shown, to_text
from kronk_agent.messages import AudioPart, ImagePart, JsonObject, Message, Part, TextPart
from kronk_agent.tools import ToolOutput
from kronk_agent.tools.media import media_type_of

ReadDocument: TypeAlias = Callable[[bytes, str, str], Awaitable[str]]
"""Extracts the text of a document, such as a PDF, from its bytes, media type and address. Raises
``ToolError`` if it cannot be read."""

_TEXT_TYPES = {
    "application/csv",
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json5",
    "application/jsonl",
    "application/ld+json",
    "application/sql",
    "application/toml",
    "application/typescript",
    "application/x-httpd-php",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-sql",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
}
_PDF = "application/pdf"
_CHARSET = re.compile(r"(utf-?(8|16|32)|iso-?8859|latin|cp\d|windows-\d|ascii|us-ascii|koi8)")
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27})
"""Bytes that do not occur in texts."""


async def to_output(result: CallToolResult, read_document: ReadDocument | None) -> ToolOutput:
    """Convert a tool result; the output always contains something for the model to read."""
    content = [await _to_part(block, read_document) for block in result.content]
    texts = [part.text for part in content if isinstance(part, TextPart)]
    if not is_shown(result.structured_content, texts):
        content.append(TextPart(to_text(result.structured_content)))
    if not any(not isinstance(part, TextPart) or part.text for part in content):
        content = [TextPart("failed without saying why" if result.is_error else "done")]
    return ToolOutput(
        content=tuple(content), structured=_structured(result), is_error=result.is_error
    )


async def to_contents(
    result: ReadResourceResult, read_document: ReadDocument | None
) -> AsyncIterator[ResourceContents]:
    """Convert the contents of a resource; a directory may have several."""
    for contents in result.contents:
        match contents:
            case TextResourceContents():
                part: Part = TextPart(contents.text)
            case BlobResourceContents():
                part = await _blob(contents, read_document)
            case _:
                assert_never(contents)
        yield ResourceContents(contents.uri, (part,))


async def to_prompt_messages(
    result: GetPromptResult, read_document: ReadDocument | None
) -> PromptMessages:
    """Convert the messages of a prompt."""
    messages = [
        Message(message.role, (await _to_part(message.content, read_document),))
        for message in result.messages
    ]
    return PromptMessages(result.description, tuple(messages))


def _structured(result: CallToolResult) -> JsonObject | None:
    value = result.structured_content
    return value if isinstance(value, dict) else None


async def _to_part(block: ContentBlock, read_document: ReadDocument | None) -> Part:
    match block:
        case TextContent():
            return TextPart(block.text)
        case ImageContent() | AudioContent():
            return _media(block.data, block.mime_type, block.type)
        case ResourceLink():
            about = f": {block.description}" if block.description else ""
            return TextPart(f"[resource {block.name} at {block.uri}{about}]")
        case EmbeddedResource():
            return await _embedded(block.resource, read_document)
        case _:
            assert_never(block)


async def _embedded(
    resource: TextResourceContents | BlobResourceContents, read_document: ReadDocument | None
) -> Part:
    if isinstance(resource, TextResourceContents):
        return TextPart(f"[resource {resource.uri}]\n{resource.text}")
    part = await _blob(resource, read_document)
    if isinstance(part, TextPart) and not part.text.startswith("[resource "):
        return TextPart(f"[resource {resource.uri}]\n{part.text}")
    return part


def _media(text: str, named: str, kind: str) -> Part:
    """An image or audio part, typed by its bytes rather than by its declared media type."""
    data = base64_data.decode(text)
    if data is None:
        return TextPart(f"[{named or kind}, not shown: its data is not base64]")
    media_type = media_type_of(data) or named or base64_data.media_type_in(text)
    if media_type.startswith("image/"):
        return ImagePart(data, media_type)
    if media_type.startswith("audio/"):
        return AudioPart(data, media_type)
    return TextPart(f"[{media_type or kind}, {len(data):,} bytes of an unknown format, not shown]")


async def _blob(contents: BlobResourceContents, read_document: ReadDocument | None) -> Part:
    """Bytes as an image, audio or text part; anything else is only mentioned."""
    kind, _, parameters = (contents.mime_type or "").lower().partition(";")
    kind = kind.strip()
    data = base64_data.decode(contents.blob)
    where = f"resource {contents.uri}"
    if data is None:
        return TextPart(f"[{where}: {kind or 'binary data'}, not shown: it is not base64]")
    media_type = media_type_of(data) or kind
    if media_type.startswith("image/") and media_type != "image/svg+xml":
        return ImagePart(data, media_type)
    if media_type.startswith("audio/"):
        return AudioPart(data, media_type)
    if kind == _PDF or data.startswith(b"%PDF-"):
        return await _document(data, contents.uri, read_document)
    if (text := _text(data, kind, parameters)) is not None:
        return TextPart(text)
    return TextPart(f"[{where}: {kind or 'binary data'}, not shown]")


async def _document(data: bytes, uri: str, read_document: ReadDocument | None) -> Part:
    if read_document is None:
        return TextPart(f"[resource {uri}: {_PDF}, not shown]")
    try:
        return TextPart(await read_document(data, _PDF, uri))
    except ToolError as error:
        return TextPart(f"[resource {uri}: {_PDF}, not shown: {error}]")


def _text(data: bytes, kind: str, parameters: str) -> str | None:
    """The text, if the bytes are declared as text or look like it; None for other bytes."""
    is_declared_text = (
        kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    )
    named = parameters.partition("charset=")[2].strip(" \"'")
    charset = named if _CHARSET.match(named) else "utf-8-sig"
    try:
        text = data.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return data.decode("utf-8", "replace") if is_declared_text else None
    looks_like_text = len(data.translate(None, _CONTROL)) == len(data)
    return text if is_declared_text or looks_like_text else None
