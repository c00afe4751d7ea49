"""``web_search``: finds pages on the web."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

import anyio
from pydantic import Field

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonValue, TextPart
from kronk_agent.tools import ReportProgress, RunContext, Tool, ToolContext, ToolOutput, tool
from kronk_tools.schemas import SEARCH_RESULT
from kronk_tools.search import Freshness, SearchProvider, SearchQuery, SearchResult
from kronk_tools.search.ddgs import DdgsSearch
from kronk_tools.text import one_line, outside

_MAX_TITLE_CHARS = 200
_MAX_SNIPPET_CHARS = 500
_MAX_DATE_CHARS = 40
_MAX_CACHED = 64

Region: TypeAlias = Annotated[str, Field(pattern=r"^[a-z]{2}-[a-z]{2,3}$")]
Domains: TypeAlias = Annotated[list[str], Field(max_length=10)]


def web_search_tool(
    *,
    providers: Sequence[SearchProvider] | None = None,
    region: str = "us-en",
    timeout_seconds: float = 15.0,
    cache_seconds: float = 600.0,
) -> Tool:
    """Create the tool ``web_search``.

    Args:
        providers: tried in this order; the next one is used if one fails or finds nothing. None:
            the search engines that need no key.
        region: default country and language of the results.
        timeout_seconds: time limit of one provider.
        cache_seconds: how long results are cached.
    """
    searcher = _Providers(
        tuple(providers) if providers is not None else (DdgsSearch(),),
        timeout_seconds=timeout_seconds,
        cache_seconds=cache_seconds,
    )
    default_region = region

    # The agent's time limit is longer, so that the tool's own error says what was tried.
    @tool(timeout_seconds=timeout_seconds * len(searcher.providers) + 5)
    async def web_search(
        query: Annotated[str, Field(min_length=1, max_length=400)],
        context: ToolContext,
        max_results: Annotated[int, Field(ge=1, le=20)] = 5,
        freshness: Freshness | None = None,
        region: Region | None = None,
        site: str | None = None,
        allowed_domains: Domains | None = None,
        blocked_domains: Domains | None = None,
        page: Annotated[int, Field(ge=1, le=10)] = 1,
    ) -> ToolOutput:
        """Search the web. Gives titles, addresses and short extracts of pages.

        Args:
            query: What to search for, in a few words.
            max_results: How many pages to list.
            freshness: Only pages from the last day, week, month or year.
            region: Country and language, such as de-de.
            site: Only pages of this site, such as docs.python.org.
            allowed_domains: Only pages of these sites.
            blocked_domains: No pages of these sites.
            page: 2 for the next results, and so on.
        """
        allowed = [*([site] if site else []), *(allowed_domains or [])]
        search_query = SearchQuery(
            query,
            max_results,
            freshness,
            region or default_region,
            tuple(map(_domain, allowed)),
            tuple(map(_domain, blocked_domains or [])),
            page,
        )
        found = await searcher.search(search_query, report=context.report_progress)
        return _listing(search_query, found, context.run)

    return replace(
        web_search,
        output_schema=SEARCH_RESULT,
        annotations={"title": "Search the web", "readOnlyHint": True, "openWorldHint": True},
    )


@dataclass(frozen=True, slots=True)
class _SearchOutcome:
    provider: str
    results: tuple[SearchResult, ...]
    found_at: float
    """Event loop time in seconds."""


class _Providers:
    """Tries one provider after another, and caches their results."""

    def __init__(
        self,
        providers: tuple[SearchProvider, ...],
        *,
        timeout_seconds: float,
        cache_seconds: float,
    ) -> None:
        self.providers = providers
        self._timeout_seconds = timeout_seconds
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[SearchQuery, _SearchOutcome] = OrderedDict()

    async def search(self, query: SearchQuery, *, report: ReportProgress) -> _SearchOutcome:
        """Search with the first provider that finds something, or return cached results.

        Raises:
            ToolError: no provider found anything; says what each of them answered.
        """
        cached = self._cache.get(query)
        if cached is not None and anyio.current_time() - cached.found_at < self._cache_seconds:
            return cached
        outcomes: list[str] = []
        for number, provider in enumerate(self.providers):
            report(number, len(self.providers), f"asking {provider.name}")
            outcome = await self._query(provider, query)
            if isinstance(outcome, _SearchOutcome):
                self._store(query, outcome)
                return outcome
            outcomes.append(f"{provider.name}: {outcome}")
        raise ToolError(
            f"the search for {query.text!r} gave nothing. Asked: {'; '.join(outcomes)}. "
            "Try other words, or later; the network may be down"
        )

    async def _query(self, provider: SearchProvider, query: SearchQuery) -> _SearchOutcome | str:
        """Return the provider's results, or the reason why it has none."""
        with anyio.move_on_after(self._timeout_seconds):
            try:
                found = await provider.search(query)
            except ToolError as error:
                return str(error)
            results = [_cleaned(page) for page in found if _is_wanted(page, query)]
            if results:
                kept = tuple(results[: query.max_results])
                return _SearchOutcome(provider.name, kept, anyio.current_time())
            return "no results, which can also mean that it turns requests away for now"
        return f"no answer within {self._timeout_seconds:g} seconds"

    def _store(self, query: SearchQuery, found: _SearchOutcome) -> None:
        self._cache[query] = found
        self._cache.move_to_end(query)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)


# --- results -------------------------------------------------------------------------------------


def _domain(text: str) -> str:
    """Normalize a domain: ``https://www.Example.com/a`` and ``example.com`` are the same.

    Raises:
        ToolError: the text is not a domain.
    """
    domain = re.sub(r"^[a-z]+://", "", text.strip().lower()).partition("/")[0]
    domain = domain.removeprefix("www.").removeprefix("*.")
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", domain):
        shown = repr(one_line(text, max_chars=100))
        raise ToolError(f"{shown} is not a site: give its name, such as docs.python.org")
    return domain


def _is_wanted(page: SearchResult, query: SearchQuery) -> bool:
    """Check the domain of a result: engines treat domain filters as a hint."""
    address = re.match(r"https?://(?:[^/?#]*@)?([^/?#:]+)", page.url)
    if address is None:
        return False
    host = address[1].lower().rstrip(".")
    if any(_is_subdomain(host, domain) for domain in query.blocked_domains):
        return False
    allowed = query.allowed_domains
    return not allowed or any(_is_subdomain(host, domain) for domain in allowed)


def _is_subdomain(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _cleaned(page: SearchResult) -> SearchResult:
    date = one_line(page.date or "", max_chars=_MAX_DATE_CHARS)
    is_iso = re.match(r"\d{4}-\d{2}-\d{2}", date)
    return SearchResult(
        title=one_line(page.title, max_chars=_MAX_TITLE_CHARS) or page.url,
        url="".join(one_line(page.url, max_chars=2_000).split()),
        snippet=one_line(page.snippet, max_chars=_MAX_SNIPPET_CHARS),
        date=(is_iso[0] if is_iso else date) or None,
    )


def _listing(query: SearchQuery, found: _SearchOutcome, run: RunContext | None) -> ToolOutput:
    numbered = _numbered(found.results, run)
    entries = ["\n".join(_lines(number, page)) for number, page in numbered]
    pages: list[JsonValue] = [
        {
            "number": number,
            "title": page.title,
            "url": page.url,
            "snippet": page.snippet,
            "date": page.date,
        }
        for number, page in numbered
    ]
    return ToolOutput(
        (TextPart("\n\n".join([outside(f"Results for {query.text!r}"), *entries])),),
        {"query": query.text, "provider": found.provider, "page": query.page, "results": pages},
    )


def _numbered(
    results: Sequence[SearchResult], run: RunContext | None
) -> list[tuple[int, SearchResult]]:
    """Number the results for citations, continuing the run's numbers if available."""
    if run is None:
        return list(enumerate(results, start=1))
    from kronk_tools.prior import record_conversation, record_urls  # httpx2 is heavy

    record_conversation(run)
    record_urls(run, [page.url for page in results])
    return [(run.cite(page.url, page.title), page) for page in results]


def _lines(number: int, page: SearchResult) -> list[str]:
    date = f" ({page.date})" if page.date else ""
    lines = [f"[{number}] {page.title}{date}", page.url, page.snippet]
    return [line for line in lines if line]
