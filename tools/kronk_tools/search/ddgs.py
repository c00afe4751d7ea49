"""Search engines asked through the package ddgs, which needs no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyio import to_thread

from kronk_agent.errors import ToolError
from kronk_tools.search import SearchQuery, SearchResult
from kronk_tools.text import one_line

_NOTHING_FOUND = "No results found."


@dataclass(frozen=True, slots=True, kw_only=True)
class DdgsSearch:
    """Asks several engines at once and merges what they find."""

    region: str
    """Country and language, such as ``us-en``."""
    backends: tuple[str, ...]
    """Engines by ddgs's names for them."""
    engine_timeout_seconds: int
    """For one engine's answer; they are asked in two or three rounds."""

    @property
    def name(self) -> str:
        return ", ".join(self.backends)

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        # ddgs cannot be cancelled; its own timeouts end the thread that is left behind.
        return await to_thread.run_sync(self._search, query, abandon_on_cancel=True)

    def _search(self, query: SearchQuery) -> list[SearchResult]:
        from ddgs import DDGS  # heavy: 100 ms
        from ddgs.engines import ENGINES
        from ddgs.exceptions import DDGSException

        # ddgs leaves out names it does not know, and without any left asks all engines it has.
        known = sorted(ENGINES["text"])
        unknown = [backend for backend in self.backends if backend not in known]
        if unknown:
            raise ToolError(
                f"the setting web_search.backends names {', '.join(unknown)}, which ddgs does not "
                f"have: it has {', '.join(known)}"
            )
        try:
            # Without a DDGS of its own, a search would share its state with the one before.
            found = DDGS(timeout=self.engine_timeout_seconds).text(
                query.text,
                region=self.region,
                timelimit=query.freshness[0] if query.freshness else None,
                max_results=query.max_results,
                backend=",".join(self.backends),
            )
        except DDGSException as error:
            if str(error) == _NOTHING_FOUND:
                return []
            raise ToolError(one_line(str(error), max_chars=200)) from error
        return [SearchResult(page["title"], page["href"], page["body"]) for page in found]
