"""Fixed list of pages, for tests and demonstrations without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kronk_tools.search import SearchQuery, SearchResult


@dataclass(frozen=True, slots=True)
class StaticSearch:
    """Returns the pages that share words with the query, most shared words first."""

    pages: tuple[SearchResult, ...]

    @property
    def name(self) -> str:
        """Display name."""
        return "static"

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages; see ``SearchProvider.search``."""
        wanted = _word_set(query.text)
        shared = [
            (len(wanted & _word_set(f"{page.title} {page.snippet}")), page) for page in self.pages
        ]
        found = [page for number, page in sorted(shared, key=lambda x: -x[0]) if number]
        first = (query.page - 1) * query.max_results
        return found[first : first + query.max_results]


def _word_set(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
