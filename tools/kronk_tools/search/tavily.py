"""Tavily search API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronk_agent.messages import JsonObject
from kronk_tools.search import SearchQuery, SearchResult

_MAX_RESULTS = 20
_COUNTRIES = {
    "ar": "argentina",
    "at": "austria",
    "au": "australia",
    "be": "belgium",
    "br": "brazil",
    "ca": "canada",
    "ch": "switzerland",
    "cn": "china",
    "cz": "czech republic",
    "de": "germany",
    "dk": "denmark",
    "es": "spain",
    "fi": "finland",
    "fr": "france",
    "gb": "united kingdom",
    "gr": "greece",
    "ie": "ireland",
    "il": "israel",
    "in": "india",
    "it": "italy",
    "jp": "japan",
    "kr": "south korea",
    "mx": "mexico",
    "nl": "netherlands",
    "no": "norway",
    "nz": "new zealand",
    "pl": "poland",
    "pt": "portugal",
    "ro": "romania",
    "se": "sweden",
    "tr": "turkey",
    "tw": "taiwan",
    "ua": "ukraine",
    "us": "united states",
    "za": "south africa",
}
"""The API expects names; other countries are omitted from the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TavilySearch:
    """Searches with the Tavily API."""

    api_key: str = field(repr=False)
    base_url: str = "https://api.tavily.com"
    proxy: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Display name."""
        return "tavily"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from kronk_tools.search.client import request_json, results  # heavy

        # The API has no paging: earlier pages are fetched too, and skipped.
        first = (query.page - 1) * query.max_results
        if first >= _MAX_RESULTS:
            return []
        payload: JsonObject = {
            "query": query.text,
            "max_results": min(first + query.max_results, _MAX_RESULTS),
            "include_domains": list(query.allowed_domains),
            "exclude_domains": list(query.blocked_domains),
        }
        if query.freshness:
            payload["time_range"] = query.freshness
        if query.country in _COUNTRIES:
            payload["country"] = _COUNTRIES[query.country]
        answer = await request_json(
            f"{self.base_url.rstrip('/')}/search",
            payload=payload,
            headers={"Authorization": f"Bearer {self.api_key}"},
            proxy=self.proxy,
        )
        found = list(results(answer.get("results"), snippet="content", date="published_date"))
        return found[first:]
