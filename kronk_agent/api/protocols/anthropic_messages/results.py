"""Converts server tool results to Anthropic's native result blocks, and back.

A result block preserves the exact text that the model has read, so that the next request starts
with the same tokens and finds its prompt in the cache.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from kronk_agent.api.protocols.anthropic_messages.schema import (
    DocumentBlock,
    McpToolResultBlock,
    TextSource,
    WebFetchError,
    WebFetchResultBlock,
    WebSearchError,
    WebSearchResult,
    WebSearchResultBlock,
)
from kronk_agent.messages import JsonObject, JsonValue, ToolResult
from kronk_tools.text import outside

_MARK = "kronk-"
_CITED_CHARS = 150


# --- to the client -------------------------------------------------------------------------------


def search_block(use_id: str, result: ToolResult) -> JsonObject:
    """A ``web_search_tool_result`` block."""
    return {
        "type": "web_search_tool_result",
        "tool_use_id": use_id,
        "content": _error("web_search", result) or _found_pages(result),
    }


def fetch_block(use_id: str, result: ToolResult, *, has_citations: bool) -> JsonObject:
    """A ``web_fetch_tool_result`` block."""
    structured = result.structured or {}
    page: JsonObject = {
        "type": "web_fetch_result",
        "url": structured.get("url"),
        "retrieved_at": None,
        "content": {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": result.text},
            "title": structured.get("title"),
            "citations": {"enabled": has_citations},
        },
    }
    return {
        "type": "web_fetch_tool_result",
        "tool_use_id": use_id,
        "content": _error("web_fetch", result) or page,
    }


def mcp_block(use_id: str, result: ToolResult) -> JsonObject:
    """An ``mcp_tool_result`` block, which holds only text."""
    return {
        "type": "mcp_tool_result",
        "tool_use_id": use_id,
        "is_error": result.is_error,
        "content": [{"type": "text", "text": result.text}],
    }


def _error(tool: str, result: ToolResult) -> JsonObject | None:
    if not result.is_error:
        return None
    code = (result.structured or {}).get("error_code", "unavailable")
    return {"type": f"{tool}_tool_result_error", "error_code": code}


def _found_pages(result: ToolResult) -> list[JsonValue]:
    pages = _pages(result)
    # The last paragraphs are the pages, one each; a heading and possibly more come before.
    entries = result.text.split("\n\n")[-len(pages) :] if pages else []
    return [
        {
            "type": "web_search_result",
            "url": page["url"],
            "title": page["title"],
            "encrypted_content": _MARK + base64.b64encode(entry.encode()).decode(),
            "page_age": page["date"],
        }
        for page, entry in zip(pages, entries, strict=True)
    ]


def _pages(result: ToolResult) -> list[Mapping[str, JsonValue]]:
    pages = (result.structured or {}).get("results")
    return [page for page in pages if isinstance(page, dict)] if isinstance(pages, list) else []


# --- citations -----------------------------------------------------------------------------------


def citations_of(result: ToolResult, *, has_citations: bool) -> dict[int, JsonObject]:
    """The citations that ``[n]`` in an answer refers to, by n.

    Args:
        result: of ``web_search`` or ``web_fetch``.
        has_citations: whether pages read by ``web_fetch`` are cited too.
    """
    structured = result.structured or {}
    if result.is_error:
        return {}
    if result.name == "web_search":
        return {
            number: citation(number, page["url"], page["title"], str(page["snippet"]))
            for page in _pages(result)
            if isinstance(number := page["number"], int)
        }
    number = structured.get("source")
    if not has_citations or not isinstance(number, int):
        return {}
    body = result.text.partition("\n\n")[2]
    return {number: citation(number, structured.get("url"), structured.get("title"), body)}


def citation(number: int, url: JsonValue, title: JsonValue, text: str) -> JsonObject:
    """A ``web_search_result_location``, with the beginning of the text as in Anthropic's API."""
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "encrypted_index": f"{_MARK}{number}",
        "cited_text": text[:_CITED_CHARS],
    }


# --- from the client -----------------------------------------------------------------------------


def search_text(block: WebSearchResultBlock, query: object) -> str:
    """The text that the model has read of a search result."""
    if isinstance(block.content, WebSearchError):
        return f"web_search failed: {block.content.error_code}"
    return "\n\n".join([outside(f"Results for {query!r}"), *_entries(block.content)])


def _entries(pages: Sequence[WebSearchResult]) -> list[str]:
    return [
        _decoded(page.encrypted_content) or f"[{number}] {page.title}\n{page.url}"
        for number, page in enumerate(pages, start=1)
    ]


def _decoded(text: str) -> str | None:
    """Decode our own content; None if it is not ours."""
    if not text.startswith(_MARK):
        return None
    try:
        return base64.b64decode(text.removeprefix(_MARK), validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None


def fetch_text(block: WebFetchResultBlock) -> str:
    """The text that the model has read of a page."""
    if isinstance(block.content, WebFetchError):
        return f"web_fetch failed: {block.content.error_code}"
    text = _document_text(block.content.content)
    is_ours = text.partition("\n")[0].endswith(outside(""))
    return text if is_ours else f"{outside(f'Content of {block.content.url}')}\n\n{text}"


def _document_text(document: DocumentBlock) -> str:
    return document.source.data if isinstance(document.source, TextSource) else ""


def mcp_text(block: McpToolResultBlock) -> str:
    """The text that the model has read of an MCP tool's result."""
    return "\n".join(part.text for part in block.content)
