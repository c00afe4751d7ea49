"""Interface of search providers; each provider has its own module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Freshness: TypeAlias = Literal["day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search."""

    text: str
    max_results: int
    freshness: Freshness | None = None
    """Maximum age of a result; None: any age."""
    region: str = "us-en"
    """Country and language; ``wt-wt`` is no particular country."""
    allowed_domains: tuple[str, ...] = ()
    """Only results of these domains and their subdomains; empty: all."""
    blocked_domains: tuple[str, ...] = ()
    page: int = 1

    @property
    def country(self) -> str:
        """ISO code in lower case; empty for no particular country."""
        code = self.region.partition("-")[0]
        return {"uk": "gb", "wt": ""}.get(code, code)

    @property
    def language(self) -> str:
        """ISO code in lower case; empty for no particular language."""
        code = self.region.partition("-")[2]
        return {"tzh": "zh", "wt": ""}.get(code, code)

    @property
    def with_operators(self) -> str:
        """The text with the domain filters as search operators."""
        allowed = " OR ".join(f"site:{domain}" for domain in self.allowed_domains)
        if len(self.allowed_domains) > 1:
            allowed = f"({allowed})"
        blocked = [f"-site:{domain}" for domain in self.blocked_domains]
        return " ".join(part for part in (self.text, allowed, *blocked) if part)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page that was found; the texts are untrusted."""

    title: str
    url: str
    snippet: str
    date: str | None = None
    """Publication date, in the provider's format."""


class SearchProvider(Protocol):
    """Finds pages. Must not block the event loop; may be called again after a failure."""

    @property
    def name(self) -> str:
        """Display name."""
        ...

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """Find pages, best first. An empty list may mean that the provider rejected the request.

        Raises:
            ToolError: the provider failed; says why.
        """
        ...
