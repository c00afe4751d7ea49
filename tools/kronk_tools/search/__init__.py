"""What a search provider is; one file a provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Freshness: TypeAlias = Literal["day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is searched for."""

    text: str
    max_results: int
    freshness: Freshness | None = None
    """How old a result may be; None is any age."""
    region: str = "us-en"
    """Country and language; ``wt-wt`` is no country in particular."""
    allowed_domains: tuple[str, ...] = ()
    """Only results of these, or of what is below them; empty is all."""
    blocked_domains: tuple[str, ...] = ()
    page: int = 1

    @property
    def country(self) -> str:
        """Its ISO code in lower case; empty for no country in particular."""
        code = self.region.partition("-")[0]
        return {"uk": "gb", "wt": ""}.get(code, code)

    @property
    def language(self) -> str:
        """Its ISO code in lower case; empty for no language in particular."""
        code = self.region.partition("-")[2]
        return {"tzh": "zh", "wt": ""}.get(code, code)

    @property
    def with_operators(self) -> str:
        """The text with the domains as search engines take them."""
        allowed = " OR ".join(f"site:{domain}" for domain in self.allowed_domains)
        if len(self.allowed_domains) > 1:
            allowed = f"({allowed})"
        blocked = [f"-site:{domain}" for domain in self.blocked_domains]
        return " ".join(part for part in (self.text, allowed, *blocked) if part)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page that was found; the texts are as they came from outside."""

    title: str
    url: str
    snippet: str
    date: str | None = None
    """When it was published, in whatever form the provider has."""


class SearchProvider(Protocol):
    """Finds pages. Must not block the event loop; may be asked again after it failed."""

    @property
    def name(self) -> str:
        """What a person knows it by."""
        ...

    async def search(self, query: SearchQuery) -> Sequence[SearchResult]:
        """The pages found, best first; none can also mean that the provider turned us away.

        Raises:
            ToolError: the provider could not be asked; says why.
        """
        ...
