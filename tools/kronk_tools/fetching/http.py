"""HTTP client of the web tools: every connection passes the guard, limited in time and size.

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, field
from email.message import Message as MimeHeaders
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Protocol, TypeAlias

import anyio
import httpcore2
import httpx2

from kronk_agent.errors import ToolError
from kronk_agent.redaction import Redactor, secrets_in_url
from kronk_tools.fetching.address import origin, parse_url
from kronk_tools.fetching.address_guard import AddressGuard
from kronk_tools.fetching.host_limiter import HostLimiter
from kronk_tools.fetching.transport import GuardedTransport, too_large
from kronk_tools.text import one_line

MAX_REDIRECTS = 5
USER_AGENT = f"kronk-agent/{version('kronk-agent')}"
_CONNECT_SECONDS = 10.0  # per address, so that the next one can be tried
_ERROR_SECONDS = 3.0
_MAX_ERROR_BYTES = 64_000
_ACCEPT = "text/html, application/xhtml+xml, text/markdown, text/plain, application/json, */*;q=0.5"
_NETWORK_ERRORS = (
    httpx2.HTTPError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
)


@dataclass(frozen=True, slots=True)
class Validators:
    """Cache validators of a known version of a document."""

    url: str
    """Final URL that sent them, after redirects."""
    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Headers of a conditional request."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Fetched:
    """Result of a GET request."""

    url: str
    """Final URL, after redirects."""
    status: int
    media_type: str
    """Lower case, without parameters; empty if the server sent none."""
    charset: str | None
    body: bytes = field(repr=False)
    """Decompressed."""
    etag: str | None = None
    last_modified: str | None = None
    may_be_stored: bool = True
    """False if the server sent ``no-store``."""

    @property
    def validators(self) -> Validators:
        """Validators of this version, for a later conditional request."""
        return Validators(self.url, self.etag, self.last_modified)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Body of an error response."""

    url: str
    media_type: str
    charset: str | None
    body: bytes = field(repr=False)


class HttpStatusError(ToolError):
    """The server answered with an error status.

    Args:
        status: the HTTP status.
        body: body of the response; None if it is empty or not text.
    """

    def __init__(self, message: str, *, status: int, body: ErrorBody | None = None) -> None:
        self.status = status
        self.body = body
        super().__init__(message, code="too_many_requests" if status == 429 else None)


CheckUrl: TypeAlias = Callable[[str], None]
"""Raises ``ToolError`` for a URL that must not be fetched; called before every hop."""


def allow_any_url(url: str) -> None:
    """Allow every URL."""


class FetchPermit(Protocol):
    """Decides whether a site allows a URL to be fetched; called before every hop."""

    async def ensure_allowed(self, url: httpx2.URL, check: CheckUrl) -> None:
        """Return if the site allows the URL.

        Args:
            url: the URL.
            check: applies to every URL that has to be fetched to find out.

        Raises:
            ToolError: the site does not allow it, or could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches documents. Stateless between fetches."""

    guard: AddressGuard
    timeout_seconds: float
    """For the whole fetch, from name resolution to the last byte, including redirects."""
    max_bytes: int
    """Size limit of a body after decompression."""
    accepts: Callable[[str], bool]
    """True for supported media types; called before the body is read."""
    limiter: HostLimiter = field(default_factory=HostLimiter)
    permit: FetchPermit | None = None
    """Site rules such as robots.txt; None: no rules."""
    proxy: str | None = field(default=None, repr=False)

    async def get(self, url: str, *, check: CheckUrl = allow_any_url) -> Fetched:
        """Fetch the document at the URL.

        Raises:
            ToolError: it cannot be fetched; says why and what to do.
        """
        fetched = await self.get_if_changed(url, cached=None, check=check)
        assert fetched is not None, "without validators the response is never 304"
        return fetched

    async def get_if_changed(
        self, url: str, *, cached: Validators | None, check: CheckUrl = allow_any_url
    ) -> Fetched | None:
        """Fetch the document; None if it is still the known version.

        Raises:
            ToolError: it cannot be fetched; says why and what to do.
        """
        target = parse_url(url)
        try:
            with anyio.fail_after(self.timeout_seconds):
                return await self._follow(target, cached, check)
        except TimeoutError:
            raise ToolError(
                f"{target} took longer than {self.timeout_seconds:g} seconds: try again later, "
                "or use another source"
            ) from None

    async def _follow(
        self, url: httpx2.URL, cached: Validators | None, check: CheckUrl
    ) -> Fetched | None:
        """Follow redirects one by one, because every hop has to be checked."""
        hop = url
        async with self._client() as client:
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    outcome = await self._request(client, hop, cached, check)
                except ToolError as error:
                    if hop is url:
                        raise
                    message = f"{url} redirects to {hop}: {error}"
                    if isinstance(error, HttpStatusError):
                        raise HttpStatusError(
                            message, status=error.status, body=error.body
                        ) from error
                    raise ToolError(message, code=error.code) from error
                if not isinstance(outcome, httpx2.URL):
                    return outcome
                if origin(outcome) != origin(hop):
                    client.cookies.clear()
                hop = outcome
        raise ToolError(f"{url} redirects more than {MAX_REDIRECTS} times: use another address")

    async def _request(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        cached: Validators | None,
        check: CheckUrl,
    ) -> Fetched | httpx2.URL | None:
        """Return the document, the URL it redirects to, or None if it has not changed."""
        check(str(url))
        if self.permit is not None:
            await self.permit.ensure_allowed(url, check)
        headers = cached.headers() if cached is not None and cached.url == str(url) else {}
        async with self.limiter.enter(*origin(url)):
            try:
                async with client.stream("GET", url, headers=headers) as response:
                    if response.has_redirect_location:
                        return _redirect_target(response)
                    if headers and response.status_code == HTTPStatus.NOT_MODIFIED:
                        return None
                    return await self._read(response)
            except _NETWORK_ERRORS as error:
                redact = Redactor(secrets_in_url(self.proxy))
                reason = one_line(redact(str(error)) or type(error).__name__, max_chars=200)
                raise ToolError(
                    f"{url} could not be fetched ({reason}): check the address, or use another "
                    "source"
                ) from error

    def _client(self) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
        # trust_env=False: a proxy or .netrc of the environment would bypass the guard.
        return httpx2.AsyncClient(
            transport=GuardedTransport(self.guard, max_bytes=self.max_bytes, proxy=self.proxy),
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            headers={"User-Agent": USER_AGENT, "Accept": _ACCEPT},
        )

    async def _read(self, response: httpx2.Response) -> Fetched:
        if not response.is_success:
            raise _refused(response, await self._error_body(response))
        _check_encoding(response)
        media_type, charset = _content_type(response)
        if not self.accepts(media_type):
            shown = one_line(media_type, max_chars=100)
            raise ToolError(
                f"{response.url} is {shown}, which cannot be read: web pages, text, JSON, XML, "
                "feeds, PDF and images can",
                code="unsupported_content_type",
            )
        if int(response.headers.get("content-length", "0")) > self.max_bytes:
            raise too_large(response.url, self.max_bytes)
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self.max_bytes:
                    raise too_large(response.url, self.max_bytes)
        return Fetched(
            str(response.url),
            response.status_code,
            media_type,
            charset,
            bytes(body),
            etag=response.headers.get("etag"),
            last_modified=response.headers.get("last-modified"),
            may_be_stored="no-store" not in response.headers.get("cache-control", "").lower(),
        )

    async def _error_body(self, response: httpx2.Response) -> ErrorBody | None:
        """The beginning of an error response, if it arrives soon."""
        media_type, charset = _content_type(response)
        if not self.accepts(media_type):
            return None
        body = bytearray()
        with suppress(ToolError, *_NETWORK_ERRORS), anyio.move_on_after(_ERROR_SECONDS):
            _check_encoding(response)
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) >= _MAX_ERROR_BYTES:
                        break
        if not body:
            return None
        return ErrorBody(str(response.url), media_type, charset, bytes(body[:_MAX_ERROR_BYTES]))


# --- refusals ----------------------------------------------------------------------------------


def _redirect_target(response: httpx2.Response) -> httpx2.URL:
    try:
        return parse_url(str(response.url.join(response.headers["location"])))
    except (ToolError, httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError(f"{response.url} redirects to an unusable address: {error}") from error


def _refused(response: httpx2.Response, body: ErrorBody | None) -> HttpStatusError:
    status = response.status_code
    match status:
        case 404 | 410:
            advice = "there is no such page; check the address, or search for another"
        case 401 | 403 | 451:
            advice = "the site does not let this page be read; use another source"
        case 429 | 503:
            advice = f"the site is busy{retry_after(response)}; use another source meanwhile"
        case _:
            advice = "use another source"
    message = f"{response.url} answered HTTP {status}{_phrase(status)}: {advice}"
    return HttpStatusError(message, status=status, body=body)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def retry_after(response: httpx2.Response) -> str:
    """The Retry-After header in our own words, since a header is untrusted text."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal() and len(value) < 10:
        return f" and asks to wait {int(value)} seconds"
    try:
        moment = parsedate_to_datetime(value).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return ""
    return f" and asks to wait until {moment:%Y-%m-%d %H:%M:%S} UTC"


def _check_encoding(response: httpx2.Response) -> None:
    """Allow a single compression that was requested: chains of them are only used for bombs."""
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
