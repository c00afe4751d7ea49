"""Exa search API."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kronk_agent.messages import JsonObject
from kronk_tools.search import SearchQuery, SearchResult

_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
_MAX_RESULTS = 100
_MAX_SNIPPET_CHARS = 500


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaSearch:
    """Searches with the Exa API."""

    api_key: str = field(repr=False)
    base_url: str = "https://api.exa.ai"
    proxy: str | None = field(default=None, repr=False)
    now: Callable[[], datetime.datetime] = field(default=_utc_now, repr=False)

    @property
    def name(self) -> str:
        """Display name."""
        return "exa"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from kronk_tools.search.client import request_json, results  # heavy

        # The API has no paging: earlier pages are fetched too, and skipped.
        first = (query.page - 1) * query.max_results
        if first >= _MAX_RESULTS:
            return []
        payload: JsonObject = {
            "query": query.text,
            "numResults": min(first + query.max_results, _MAX_RESULTS),
            "contents": {"text": {"maxCharacters": _MAX_SNIPPET_CHARS}},
        }
        if query.country:
            payload["userLocation"] = query.country.upper()
        if query.allowed_domains:
            payload["includeDomains"] = list(query.allowed_domains)
        if query.blocked_domains:
            payload["excludeDomains"] = list(query.blocked_domains)
        if query.freshness:
            oldest = self.now() - datetime.timedelta(days=_DAYS[query.freshness])
            payload["startPublishedDate"] = oldest.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        answer = await request_json(
            f"{self.base_url.rstrip('/')}/search",
            payload=payload,
            headers={"x-api-key": self.api_key},
            proxy=self.proxy,
        )
        found = list(results(answer.get("results"), snippet="text", date="publishedDate"))
        return found[first:]
