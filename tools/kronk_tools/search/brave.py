"""Brave Search API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronk_tools.search import SearchQuery, SearchResult

_FRESHNESS = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}
_MAX_RESULTS = 20
_MAX_PAGE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BraveSearch:
    """Searches with the Brave Search API."""

    api_key: str = field(repr=False)
    base_url: str = "https://api.search.brave.com"
    proxy: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Display name."""
        return "brave"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from kronk_tools.search.client import request_json, results, value_at  # heavy

        if query.page > _MAX_PAGE:
            return []
        params: dict[str, str | int] = {
            "q": query.with_operators,
            "count": min(query.max_results, _MAX_RESULTS),
            "offset": query.page - 1,
            "country": query.country.upper() or "ALL",
            "text_decorations": "false",
        }
        if query.language:
            params["search_lang"] = query.language
        if query.freshness:
            params["freshness"] = _FRESHNESS[query.freshness]
        answer = await request_json(
            f"{self.base_url.rstrip('/')}/res/v1/web/search",
            params=params,
            headers={"X-Subscription-Token": self.api_key, "Accept": "application/json"},
            proxy=self.proxy,
        )
        found = value_at(answer, "web", "results")
        return list(results(found, snippet="description", date="page_age"))
