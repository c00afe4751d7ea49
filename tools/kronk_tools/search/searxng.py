"""Self-hosted SearXNG server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronk_agent.errors import ToolError
from kronk_tools.search import SearchQuery, SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SearxngSearch:
    """Searches with a SearXNG server; needs no key."""

    base_url: str
    proxy: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Display name."""
        return "searxng"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        from kronk_tools.search.client import request_json, results  # heavy

        params: dict[str, str | int] = {
            "q": query.with_operators,
            "format": "json",
            "language": "-".join(filter(None, (query.language, query.country.upper()))) or "all",
            "pageno": query.page,
        }
        if query.freshness:
            params["time_range"] = query.freshness
        try:
            answer = await request_json(
                f"{self.base_url.rstrip('/')}/search", params=params, proxy=self.proxy
            )
        except ToolError as error:
            if not str(error).startswith("HTTP 403"):
                raise
            raise ToolError(
                "HTTP 403: it does not answer in JSON: add json to search.formats in its "
                "settings.yml"
            ) from error
        return list(results(answer.get("results"), snippet="content", date="publishedDate"))
