"""HTTP client for search APIs: JSON responses, limited in size, with readable errors.

The URL of an API is configured by the operator, so no address guard applies. Import on use: httpx2
is heavy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import httpx2

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.redaction import Redactor, secrets_in_headers, secrets_in_url
from kronk_tools.fetching.http import retry_after
from kronk_tools.search import SearchResult
from kronk_tools.text import one_line

_MAX_BYTES = 2_000_000


async def request_json(
    url: str,
    *,
    params: Mapping[str, str | int] | None = None,
    payload: JsonObject | None = None,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
) -> JsonObject:
    """GET the URL, or POST the payload to it. The caller limits the time.

    Raises:
        ToolError: the provider cannot be reached, or its response is not usable.
    """
    try:
        async with (
            httpx2.AsyncClient(proxy=proxy, trust_env=False, timeout=None) as client,
            client.stream(
                "GET" if payload is None else "POST",
                url,
                params=params,
                json=payload,
                headers=headers,
            ) as response,
        ):
            _check_status(response)
            return _parse(await _body(response))
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        redact = Redactor(
            [*secrets_in_headers(headers or {}), *secrets_in_url(url), *secrets_in_url(proxy)]
        )
        message = one_line(redact(str(error)) or type(error).__name__, max_chars=200)
        raise ToolError(f"it cannot be reached ({message})") from error


def results(
    items: JsonValue, *, url: str = "url", snippet: str, title: str = "title", date: str
) -> Iterator[SearchResult]:
    """Convert a list of objects to results, given the provider's field names."""
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield SearchResult(
                _text(item, title),
                _text(item, url),
                _text(item, snippet),
                _text(item, date) or None,
            )


def value_at(answer: JsonObject, *path: str) -> JsonValue:
    """The value at a path in the response; None if it does not exist."""
    value: JsonValue = answer
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(item: JsonObject, key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    match status:
        case 401 | 402 | 403:
            reason = "it refuses the key: check api_key in the setting web_search.providers"
        case 429:
            reason = f"it was asked too often{retry_after(response)}"
        case _:
            reason = "it does not work for now" if status >= 500 else "it refuses the request"
    raise ToolError(f"HTTP {status}: {reason}")


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ToolError(f"its answer is larger than {_MAX_BYTES:,} bytes")
    return bytes(body)


def _parse(body: bytes) -> JsonObject:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ToolError("its answer is not the JSON that was expected: check its base_url")
    return answer
