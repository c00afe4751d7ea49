"""Each search provider against a far side that answers as its documentation says."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from limits import seconds
from loopback_web import Answer, LoopbackWeb, Received

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_tools.search import SearchProvider, SearchQuery, SearchResult
from kronk_tools.search.brave import BraveSearch
from kronk_tools.search.exa import ExaSearch
from kronk_tools.search.providers import ProviderType, search_provider
from kronk_tools.search.searxng import SearxngSearch
from kronk_tools.search.serper import SerperSearch
from kronk_tools.search.static import StaticSearch
from kronk_tools.search.tavily import TavilySearch

TEA = SearchResult("Tea", "https://tea.example/", "All about tea.", "2026-01-31T10:00:00")
PLAIN = SearchQuery("tea", 5)
FULL = SearchQuery("tea", 3, "week", "uk-en", ("a.example", "b.example"), ("c.example",), page=2)
WITH_OPERATORS = "tea (site:a.example OR site:b.example) -site:c.example"
PATHS = {
    "searxng": "/search",
    "brave": "/res/v1/web/search",
    "tavily": "/search",
    "exa": "/search",
    "serper": "/search",
}
KEYED = ("brave", "tavily", "exa", "serper")


def provider(type: ProviderType, web: LoopbackWeb) -> SearchProvider:
    if type == "exa":
        now = datetime.datetime(2026, 2, 8, tzinfo=datetime.UTC)
        return ExaSearch(api_key="hunter2", base_url=web.url, now=lambda: now)
    key = None if type == "searxng" else "hunter2"
    return search_provider(type, api_key=key, base_url=f"{web.url}/")


def answer_json(web: LoopbackWeb, type: str, answer: Any, **options: Any) -> None:
    web.answers[PATHS[type]] = Answer(json.dumps(answer).encode(), "application/json", **options)


def found(type: str, *pages: SearchResult) -> JsonObject:
    """An answer in the provider's own form, with fields that nobody reads."""
    names: Mapping[str, tuple[str, str, str]] = {
        "searxng": ("url", "content", "publishedDate"),
        "brave": ("url", "description", "page_age"),
        "tavily": ("url", "content", "published_date"),
        "exa": ("url", "text", "publishedDate"),
        "serper": ("link", "snippet", "date"),
    }
    url, snippet, date = names[type]
    items: Any = [
        {"title": page.title, url: page.url, snippet: page.snippet, date: page.date, "score": 0.5}
        for page in pages
    ]
    match type:
        case "brave":
            return {"type": "search", "web": {"type": "search", "results": items}}
        case "serper":
            return {"organic": items, "credits": 1}
        case _:
            return {"results": items, "query": "tea"}


async def ask(by: SearchProvider, query: SearchQuery = PLAIN) -> list[SearchResult]:
    with anyio.fail_after(seconds(10)):
        return list(await by.search(query))


def sent(request: Received) -> tuple[str, dict[str, Any]]:
    """The method, and the parameters of the query or the payload."""
    if request.method == "GET":
        return "GET", dict(parse_qsl(urlsplit(request.path).query))
    return "POST", json.loads(request.body)


REQUESTS: dict[ProviderType, tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "searxng": (
        ("GET", {"q": "tea", "format": "json", "language": "en-US", "pageno": "1"}),
        (
            "GET",
            {
                "q": WITH_OPERATORS,
                "format": "json",
                "language": "en-GB",
                "pageno": "2",
                "time_range": "week",
            },
        ),
    ),
    "brave": (
        (
            "GET",
            {
                "q": "tea",
                "count": "5",
                "offset": "0",
                "country": "US",
                "search_lang": "en",
                "text_decorations": "false",
            },
        ),
        (
            "GET",
            {
                "q": WITH_OPERATORS,
                "count": "3",
                "offset": "1",
                "country": "GB",
                "search_lang": "en",
                "text_decorations": "false",
                "freshness": "pw",
            },
        ),
    ),
    "tavily": (
        (
            "POST",
            {
                "query": "tea",
                "max_results": 5,
                "include_domains": [],
                "exclude_domains": [],
                "country": "united states",
            },
        ),
        (
            "POST",
            {
                "query": "tea",
                "max_results": 6,
                "include_domains": ["a.example", "b.example"],
                "exclude_domains": ["c.example"],
                "time_range": "week",
                "country": "united kingdom",
            },
        ),
    ),
    "exa": (
        (
            "POST",
            {
                "query": "tea",
                "numResults": 5,
                "userLocation": "US",
                "contents": {"text": {"maxCharacters": 500}},
            },
        ),
        (
            "POST",
            {
                "query": "tea",
                "numResults": 6,
                "userLocation": "GB",
                "contents": {"text": {"maxCharacters": 500}},
                "includeDomains": ["a.example", "b.example"],
                "excludeDomains": ["c.example"],
                "startPublishedDate": "2026-02-01T00:00:00.000Z",
            },
        ),
    ),
    "serper": (
        ("POST", {"q": "tea", "gl": "us", "hl": "en", "num": 5, "page": 1}),
        (
            "POST",
            {"q": WITH_OPERATORS, "gl": "gb", "hl": "en", "num": 3, "page": 2, "tbs": "qdr:w"},
        ),
    ),
}


@pytest.mark.parametrize("type", REQUESTS)
async def test_what_is_asked_for_is_sent_as_the_provider_wants_it(
    web: LoopbackWeb, type: ProviderType
) -> None:
    answer_json(web, type, found(type))
    by = provider(type, web)

    await ask(by, PLAIN)
    await ask(by, FULL)

    assert tuple(map(sent, web.requests)) == REQUESTS[type]


@pytest.mark.parametrize("type", REQUESTS)
async def test_what_is_found_is_read(web: LoopbackWeb, type: ProviderType) -> None:
    answer_json(web, type, found(type, TEA))

    assert await ask(provider(type, web)) == [TEA]


@pytest.mark.parametrize("type", ["tavily", "exa"])
async def test_a_provider_without_pages_gives_the_later_ones_of_more_results(
    web: LoopbackWeb, type: ProviderType
) -> None:
    pages = [SearchResult(f"{n}", f"https://{n}.example/", "") for n in range(6)]
    answer_json(web, type, found(type, *pages))

    results = await ask(provider(type, web), FULL)
    beyond = await ask(provider(type, web), SearchQuery("tea", 20, page=9))

    assert [page.title for page in results] == ["3", "4", "5"]
    assert beyond == []


@pytest.mark.parametrize(
    ("type", "header", "value"),
    [
        ("brave", "x-subscription-token", "hunter2"),
        ("tavily", "authorization", "Bearer hunter2"),
        ("exa", "x-api-key", "hunter2"),
        ("serper", "x-api-key", "hunter2"),
    ],
)
async def test_the_key_is_sent_in_the_header_and_shown_nowhere(
    web: LoopbackWeb, type: ProviderType, header: str, value: str
) -> None:
    answer_json(web, type, {"detail": "bad key hunter2"}, status=401)
    by = provider(type, web)

    with pytest.raises(ToolError) as error:
        await ask(by)

    assert web.requests[0].headers[header] == value
    assert "hunter2" not in f"{by!r} {by.name} {error.value}"
    assert str(error.value) == (
        "HTTP 401: it refuses the key: check api_key in the setting web_search.providers"
    )


@pytest.mark.parametrize("type", REQUESTS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=429, headers={"Retry-After": "7"}), "asked too often and asks to wait 7 s"),
        (Answer(status=503), "HTTP 503: it does not work for now"),
        (Answer(status=422), "HTTP 422: it refuses the request"),
        (Answer(status=301, headers={"Location": "/x"}), "HTTP 301: it refuses the request"),
        (Answer(b"<html>"), "its answer is not the JSON that was expected"),
        (Answer(b"[1]"), "its answer is not the JSON that was expected"),
        (Answer(b"[" * 100_000), "its answer is not the JSON that was expected"),
        (Answer(b'{"a": "' + b"x" * 2_000_001 + b'"}'), "answer is larger than 2,000,000 bytes"),
    ],
)
async def test_a_provider_that_does_not_answer_well_says_how(
    web: LoopbackWeb, type: ProviderType, answer: Answer, words: str
) -> None:
    web.answers[PATHS[type]] = answer

    with pytest.raises(ToolError) as error:
        await ask(provider(type, web))

    assert words in str(error.value)


@pytest.mark.parametrize("type", REQUESTS)
@pytest.mark.parametrize("answer", [{}, {"results": 1, "organic": 1, "web": 1}, {"results": [1]}])
async def test_an_answer_of_another_form_is_no_result(
    web: LoopbackWeb, type: ProviderType, answer: JsonObject
) -> None:
    answer_json(web, type, answer)

    assert await ask(provider(type, web)) == []


async def test_a_provider_that_is_not_there_is_a_clear_error() -> None:
    by = search_provider("brave", api_key="x", base_url="http://127.0.0.1:9")

    with pytest.raises(ToolError, match="it cannot be reached"):
        await ask(by)


async def test_a_searxng_that_does_not_speak_json_says_how_to_change_that(
    web: LoopbackWeb,
) -> None:
    web.answers["/search"] = Answer(status=403)

    with pytest.raises(ToolError, match=r"add json to search\.formats in its settings\.yml"):
        await ask(provider("searxng", web))


@pytest.mark.parametrize("type", REQUESTS)
async def test_no_country_in_particular_is_said_in_the_providers_own_way(
    web: LoopbackWeb, type: ProviderType
) -> None:
    answer_json(web, type, found(type))

    await ask(provider(type, web), SearchQuery("tea", 5, region="wt-wt"))

    _, said = sent(web.requests[0])
    places = {"country", "search_lang", "language", "gl", "hl", "userLocation"}
    assert {name: value for name, value in said.items() if name in places} == {
        "searxng": {"language": "all"},
        "brave": {"country": "ALL"},
    }.get(type, {})


async def test_a_proxy_is_asked_in_the_providers_place(web: LoopbackWeb) -> None:
    web.answers["http://api.invalid/search"] = Answer(b'{"organic": []}', "application/json")
    by = search_provider("serper", api_key="k", base_url="http://api.invalid", proxy=f"{web.url}")

    assert await ask(by) == []
    assert web.requests[0].path == "http://api.invalid/search"


async def test_static_finds_what_shares_words_with_the_query() -> None:
    coffee = SearchResult("Coffee", "https://coffee.example/", "Hot, and not tea.")
    by = search_provider("static", results=[TEA, coffee])

    assert await ask(by, SearchQuery("hot TEA", 5)) == [coffee, TEA]
    assert await ask(by, SearchQuery("hot TEA", 1, page=2)) == [TEA]
    assert await ask(by, SearchQuery("water", 5)) == []


def test_the_makers_addresses_are_the_defaults() -> None:
    built = [search_provider(type, api_key="k") for type in KEYED]  # type: ignore[arg-type]

    assert built == [
        BraveSearch(api_key="k", base_url="https://api.search.brave.com"),
        TavilySearch(api_key="k", base_url="https://api.tavily.com"),
        ExaSearch(api_key="k", base_url="https://api.exa.ai"),
        SerperSearch(api_key="k", base_url="https://google.serper.dev"),
    ]
    assert search_provider("searxng", base_url="http://x") == SearxngSearch(base_url="http://x")
    assert search_provider("static") == StaticSearch(())
