"""Serper API, with Google's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronk_agent.messages import JsonObject
from kronk_tools.search import SearchQuery, SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SerperSearch:
    """Searches with the Serper API."""

    api_key: str = field(repr=False)
    base_url: str = "https://google.serper.dev"
    proxy: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Display name."""
        return "serper"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from kronk_tools.search.client import request_json, results  # heavy

        payload: JsonObject = {
            "q": query.with_operators,
            "num": query.max_results,
            "page": query.page,
        }
        if query.country:
            payload["gl"] = query.country
        if query.language:
            payload["hl"] = query.language
        if query.freshness:
            payload["tbs"] = f"qdr:{query.freshness[0]}"
        answer = await request_json(
            f"{self.base_url.rstrip('/')}/search",
            payload=payload,
            headers={"X-API-KEY": self.api_key},
            proxy=self.proxy,
        )
        return list(results(answer.get("organic"), url="link", snippet="snippet", date="date"))
