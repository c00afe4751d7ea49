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


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page that was found; the texts are as they came from outside."""

    title: str
    url: str
    snippet: str


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
