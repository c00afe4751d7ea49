"""The one way to the web: a GET whose every connection passes the guard, bounded in time and size.

Import it on use: httpx2 is heavy.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from email.message import Message as MimeHeaders
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version

import anyio
import httpcore2
import httpx2

from kronk_agent.errors import ToolError
from kronk_tools.guard import AddressGuard
from kronk_tools.text import one_line
from kronk_tools.transport import GuardedTransport, too_large

MAX_REDIRECTS = 5
MAX_URL_CHARS = 2_048
_CONNECT_SECONDS = 10.0  # for one address, so that the next one gets its chance
_ACCEPT = "text/html, application/xhtml+xml, text/markdown, text/plain, application/json, */*;q=0.5"
_NETWORK_ERRORS = (
    httpx2.HTTPError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a GET brought back."""

    url: str
    """Where it came from in the end, after redirects."""
    status: int
    media_type: str
    """Lower case, without parameters; empty when the server did not say."""
    charset: str | None
    body: bytes = field(repr=False)
    """Decompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Gets documents. Keeps nothing between two of them."""

    guard: AddressGuard
    timeout_seconds: float
    """For everything, from the name's resolution to the last byte, redirects included."""
    max_bytes: int
    """Size of a body at most, after decompression."""
    accepts: Callable[[str], bool]
    """Whether a media type is wanted; asked before the body is read."""

    async def get(self, url: str) -> Fetched:
        """The document at the URL.

        Raises:
            ToolError: there is none to be had; says why and what would do.
        """
        target = _parse(url)
        try:
            with anyio.fail_after(self.timeout_seconds):
                return await self._follow(target)
        except TimeoutError:
            raise ToolError(
                f"{target} took longer than {self.timeout_seconds:g} seconds: try again later, "
                "or use another source"
            ) from None

    async def _follow(self, url: httpx2.URL) -> Fetched:
        """Redirects are followed here, one by one, because every hop must be judged."""
        hop = url
        async with self._client() as client:
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    answer = await self._ask(client, hop)
                except ToolError as error:
                    if hop is url:
                        raise
                    raise ToolError(f"{url} redirects to {hop}: {error}") from error
                if isinstance(answer, Fetched):
                    return answer
                if _origin(answer) != _origin(hop):
                    client.cookies.clear()
                hop = answer
        raise ToolError(f"{url} redirects more than {MAX_REDIRECTS} times: use another address")

    async def _ask(self, client: httpx2.AsyncClient, url: httpx2.URL) -> Fetched | httpx2.URL:
        """What is at the URL, or where it redirects to."""
        try:
            async with client.stream("GET", url) as response:
                if response.has_redirect_location:
                    return _redirect_target(response)
                return await self._read(response)
        except _NETWORK_ERRORS as error:
            reason = one_line(str(error) or type(error).__name__, max_chars=200)
            raise ToolError(
                f"{url} could not be fetched ({reason}): check the address, or use another source"
            ) from error

    def _client(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        # trust_env=False: a proxy or a .netrc from the environment would go around the guard.
        return httpx2.AsyncClient(
            transport=GuardedTransport(self.guard, max_bytes=self.max_bytes),
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            headers={"User-Agent": f"kronk-agent/{version('kronk-agent')}", "Accept": _ACCEPT},
        )

    async def _read(self, response: httpx2.Response) -> Fetched:
        _check_status(response)
        _check_encoding(response)
        media_type, charset = _content_type(response)
        if not self.accepts(media_type):
            shown = one_line(media_type, max_chars=100)
            raise ToolError(
                f"{response.url} is {shown}, which cannot be read: only web pages, text, JSON and "
                "XML can"
            )
        if int(response.headers.get("content-length", "0")) > self.max_bytes:
            raise too_large(response.url, self.max_bytes)
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self.max_bytes:
                    raise too_large(response.url, self.max_bytes)
        return Fetched(str(response.url), response.status_code, media_type, charset, bytes(body))


# --- what is refused ---------------------------------------------------------------------------


def _parse(text: str) -> httpx2.URL:
    text = text.strip()
    shown = repr(one_line(text, max_chars=200))
    if len(text) > MAX_URL_CHARS:
        raise ToolError(f"{shown} is longer than {MAX_URL_CHARS:,} characters: use a shorter URL")
    try:
        url = httpx2.URL(text)
        host = url.host
    except (httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a host that is no IDN
        raise ToolError(f"{shown} is not a valid URL: {error}") from error
    if url.scheme not in ("http", "https"):
        example = "https://example.com" if url.scheme else f"https://{text.lstrip('/')}"
        raise ToolError(f"{shown} is not a web address: give a full one, such as {example}")
    if not host:
        raise ToolError(f"{shown} names no host: give a full address, such as https://example.com")
    if url.userinfo:
        raise ToolError(f"{host}: a user name or password in a URL is not allowed; remove it")
    if url.port is not None and not 0 < url.port < 65536:
        raise ToolError(f"{shown} has an impossible port: ports go from 1 to 65535")
    return url.copy_with(fragment=None)


def _redirect_target(response: httpx2.Response) -> httpx2.URL:
    try:
        return _parse(str(response.url.join(response.headers["location"])))
    except (ToolError, httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError(f"{response.url} redirects to an unusable address: {error}") from error


def _check_status(response: httpx2.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    match status:
        case 404 | 410:
            advice = "there is no such page; check the address, or search for another"
        case 401 | 403 | 451:
            advice = "the site does not let this page be read; use another source"
        case 429 | 503:
            advice = f"the site is busy{_retry_after(response)}; use another source meanwhile"
        case _:
            advice = "use another source"
    raise ToolError(f"{response.url} answered HTTP {status}{_phrase(status)}: {advice}")


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _retry_after(response: httpx2.Response) -> str:
    """In our own words: a header is text from outside."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal() and len(value) < 10:
        return f" and asks to wait {int(value)} seconds"
    try:
        moment = parsedate_to_datetime(value).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return ""
    return f" and asks to wait until {moment:%Y-%m-%d %H:%M:%S} UTC"


def _check_encoding(response: httpx2.Response) -> None:
    """One compression that was asked for: several in a row only serve to bomb."""
    asked_for = response.request.headers["accept-encoding"].split(", ")
    if response.headers.get("content-encoding", "identity").lower() not in (*asked_for, "identity"):
        raise ToolError(
            f"{response.url} is compressed in a way that was not asked for, and cannot be read: "
            "use another source"
        )


def _content_type(response: httpx2.Response) -> tuple[str, str | None]:
    header = response.headers.get("content-type")
    if not header:
        return "", None
    parsed = MimeHeaders()
    parsed["content-type"] = header
    return parsed.get_content_type(), parsed.get_content_charset()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
