"""``web_fetch``: reads a page of the web, part by part."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import anyio
from anyio import to_thread
from pydantic import Field

from kronk_agent.errors import ToolError
from kronk_agent.messages import TextPart
from kronk_agent.tool import Tool, ToolOutput, tool
from kronk_tools.document import MAX_HTML_CHARS, Document, is_readable, read
from kronk_tools.guard import AddressGuard, Network
from kronk_tools.text import outside, part_end

if TYPE_CHECKING:
    from kronk_tools.http import Fetched

PART_CHARS = 8_000
"""Characters of a page that one call gives at most, about 2,000 tokens."""


def web_fetch_tool(
    *,
    timeout_seconds: float = 30.0,
    max_bytes: int = 10_000_000,
    allow_private: Sequence[Network] = (),
) -> Tool:
    """The tool ``web_fetch``; the parameters are those of ``web_fetch:`` in the configuration."""
    guard = AddressGuard(tuple(allow_private))

    # The agent's own time limit comes after ours, which says what took so long.
    @tool(timeout_seconds=timeout_seconds + 5)
    async def web_fetch(url: str, start: Annotated[int, Field(ge=0)] = 0) -> ToolOutput:
        """Read a web page, or a text, JSON or XML file on the web. Long ones come in parts.

        Args:
            url: Address of the page, copied exactly.
            start: Only to read on: the number given at the end of the part before.
        """
        from kronk_tools.http import Fetcher  # heavy: 140 ms

        fetcher = Fetcher(
            guard=guard,
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
            accepts=is_readable,
        )
        deadline = anyio.current_time() + timeout_seconds
        fetched = await fetcher.get(url)
        document = await _read(fetched, deadline)
        return _part(fetched, document, start)

    return web_fetch


async def _read(fetched: Fetched, deadline: float) -> Document:
    work = functools.partial(
        read,
        fetched.body,
        url=fetched.url,
        media_type=fetched.media_type,
        charset=fetched.charset,
    )
    with anyio.CancelScope(deadline=deadline):
        # The thread cannot be stopped, but what it is given is bounded, so it ends.
        return await to_thread.run_sync(work, abandon_on_cancel=True)
    raise ToolError(f"{fetched.url} takes too long to read: use another source")


def _part(fetched: Fetched, document: Document, start: int) -> ToolOutput:
    total = len(document.text)
    if start >= total:
        raise ToolError(f"start={start} is past the end: {fetched.url} has {total} characters")
    end = part_end(document.text, start, max_chars=PART_CHARS)
    next_start = end if end < total else None
    lines = [outside(f"Content of {fetched.url}")]
    if document.title:
        lines.append(f"Title: {document.title}")
    if document.is_partial:
        lines.append(f"(Only the first {MAX_HTML_CHARS:,} characters of its HTML were read.)")
    lines += ["", document.text[start:end].rstrip()]
    if next_start is not None:
        lines += [
            "",
            f"[Characters {start} to {end} of {total}. To read on, call web_fetch with the same "
            f"url and start={next_start}]",
        ]
    return ToolOutput(
        (TextPart("\n".join(lines)),),
        {
            "url": fetched.url,
            "title": document.title,
            "status": fetched.status,
            "start": start,
            "total_chars": total,
            "next_start": next_start,
        },
    )
