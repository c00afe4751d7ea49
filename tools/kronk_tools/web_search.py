"""``web_search``: finds pages on the web."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import anyio
from pydantic import Field

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonValue, TextPart
from kronk_agent.tool import Tool, ToolOutput, tool
from kronk_tools.search import Freshness, SearchProvider, SearchQuery, SearchResult
from kronk_tools.search.ddgs import DdgsSearch
from kronk_tools.text import one_line, outside

_NUM_TRIES = 2  # engines turn single requests away without a word; one more often gets through
_ENGINE_ROUNDS = 3
_MAX_TITLE_CHARS = 200
_MAX_SNIPPET_CHARS = 500


def web_search_tool(
    *,
    region: str = "us-en",
    backends: Sequence[str] = ("duckduckgo", "brave", "mojeek", "startpage"),
    timeout_seconds: float = 15.0,
) -> Tool:
    """The tool ``web_search``; the parameters are those of ``web_search:`` in the configuration."""
    provider = DdgsSearch(
        region=region,
        backends=tuple(backends),
        engine_timeout_seconds=math.ceil(timeout_seconds / _ENGINE_ROUNDS),
    )
    return web_search_with(provider, timeout_seconds=timeout_seconds)


def web_search_with(provider: SearchProvider, *, timeout_seconds: float) -> Tool:
    """The tool ``web_search`` over any provider."""

    # The agent's own time limit comes after ours, which says what was tried.
    @tool(timeout_seconds=timeout_seconds + 5)
    async def web_search(
        query: Annotated[str, Field(min_length=1, max_length=400)],
        max_results: Annotated[int, Field(ge=1, le=20)] = 5,
        freshness: Freshness | None = None,
    ) -> ToolOutput:
        """Search the web. Gives titles, addresses and short extracts of pages.

        Args:
            query: What to search for, in a few words.
            max_results: How many pages to list.
            freshness: Only pages from the last day, week, month or year.
        """
        asked = SearchQuery(query, max_results, freshness)
        return _listing(asked, await _search(provider, asked, timeout_seconds))

    return web_search


async def _search(
    provider: SearchProvider, query: SearchQuery, timeout_seconds: float
) -> list[SearchResult]:
    outcome = f"no answer within {timeout_seconds:g} seconds"
    with anyio.move_on_after(timeout_seconds):
        for _ in range(_NUM_TRIES):
            try:
                found = await provider.search(query)
            except ToolError as error:
                outcome = str(error)
                continue
            results = [_presentable(page) for page in found if _is_web_address(page.url)]
            if results:
                return results[: query.max_results]
            outcome = "no results, which can also mean that they turn requests away for now"
    raise ToolError(
        f"the search for {query.text!r} gave nothing. Asked: {provider.name}. Last outcome: "
        f"{outcome}. Try other words, or later; the network may be down"
    )


def _is_web_address(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _presentable(page: SearchResult) -> SearchResult:
    return SearchResult(
        title=one_line(page.title, max_chars=_MAX_TITLE_CHARS) or page.url,
        url="".join(one_line(page.url, max_chars=2_000).split()),
        snippet=one_line(page.snippet, max_chars=_MAX_SNIPPET_CHARS),
    )


def _listing(query: SearchQuery, results: Sequence[SearchResult]) -> ToolOutput:
    numbered = list(enumerate(results, start=1))
    entries = [
        "\n".join(line for line in (f"[{number}] {page.title}", page.url, page.snippet) if line)
        for number, page in numbered
    ]
    pages: list[JsonValue] = [
        {"number": number, "title": page.title, "url": page.url, "snippet": page.snippet}
        for number, page in numbered
    ]
    return ToolOutput(
        (TextPart("\n\n".join([outside(f"Results for {query.text!r}"), *entries])),),
        {"query": query.text, "results": pages},
    )
