"""Search providers by their names in the configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, assert_never

from kronk_tools.search import SearchProvider, SearchResult
from kronk_tools.search.brave import BraveSearch
from kronk_tools.search.ddgs import BACKENDS, DdgsSearch
from kronk_tools.search.exa import ExaSearch
from kronk_tools.search.searxng import SearxngSearch
from kronk_tools.search.serper import SerperSearch
from kronk_tools.search.static import StaticSearch
from kronk_tools.search.tavily import TavilySearch

ProviderType: TypeAlias = Literal["ddgs", "searxng", "brave", "tavily", "exa", "serper", "static"]
_Keyed: TypeAlias = type[BraveSearch] | type[TavilySearch] | type[ExaSearch] | type[SerperSearch]

_ENGINE_ROUNDS = 3


def search_provider(
    type: ProviderType,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    backends: Sequence[str] | None = None,
    results: Sequence[SearchResult] | None = None,
    proxy: str | None = None,
    timeout_seconds: float = 15.0,
) -> SearchProvider:
    """Create the provider with these settings; None selects its default, if it has one.

    Args:
        timeout_seconds: time for one search; divided if the provider makes several requests.
    """
    match type:
        case "ddgs":
            return DdgsSearch(
                backends=tuple(backends or BACKENDS),
                engine_timeout_seconds=math.ceil(timeout_seconds / _ENGINE_ROUNDS),
                proxy=proxy,
            )
        case "searxng":
            return SearxngSearch(base_url=_required(base_url), proxy=proxy)
        case "brave":
            return _keyed(BraveSearch, api_key, base_url, proxy)
        case "tavily":
            return _keyed(TavilySearch, api_key, base_url, proxy)
        case "exa":
            return _keyed(ExaSearch, api_key, base_url, proxy)
        case "serper":
            return _keyed(SerperSearch, api_key, base_url, proxy)
        case "static":
            return StaticSearch(tuple(results or ()))
        case _:
            assert_never(type)


def _keyed(
    kind: _Keyed, api_key: str | None, base_url: str | None, proxy: str | None
) -> SearchProvider:
    if base_url is None:
        return kind(api_key=_required(api_key), proxy=proxy)
    return kind(api_key=_required(api_key), base_url=base_url, proxy=proxy)


def _required(value: str | None) -> str:
    assert value is not None, "checked by the configuration"
    return value
