"""The one way to the web: a GET whose every connection passes the guard, bounded in time and size.

Import it on use: httpx2 is heavy.
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
from kronk_tools.fetching.host_limiter import HostGate
from kronk_tools.fetching.transport import GuardedTransport, too_large
from kronk_tools.text import one_line

MAX_REDIRECTS = 5
USER_AGENT = f"kronk-agent/{version('kronk-agent')}"
_CONNECT_SECONDS = 10.0  # for one address, so that the next one gets its chance
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
    """What tells a server which version of a document is known already."""

    url: str
    """The address that gave them, after redirects."""
    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value is not None}


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
    etag: str | None = None
    last_modified: str | None = None
    may_be_stored: bool = True
    """False when the server asks that it be kept nowhere."""

    @property
    def validators(self) -> Validators:
        return Validators(self.url, self.etag, self.last_modified)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What a server sent with a status that is no success."""

    url: str
    media_type: str
    charset: str | None
    body: bytes = field(repr=False)


class RefusedByServer(ToolError):
    """The server answered with a status that is no success.

    Args:
        body: what it sent with it; None if that was nothing, or no text.
    """

    def __init__(self, message: str, *, status: int, body: ErrorBody | None = None) -> None:
        self.status = status
        self.body = body
        super().__init__(message, code="too_many_requests" if status == 429 else None)


CheckUrl: TypeAlias = Callable[[str], None]
"""Raises ``ToolError`` for an address that must not be fetched; called before every hop."""


def any_url(url: str) -> None:
    """Every address may be fetched."""


class Admission(Protocol):
    """Decides whether the site wants an address to be read; asked before every hop."""

    async def admit(self, url: httpx2.URL, check: CheckUrl) -> None:
        """Return if the site does.

        Args:
            url: the address.
            check: what every address is under that is fetched to find out.

        Raises:
            ToolError: it does not, or could not be asked.
        """
        ...


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
    gate: HostGate = field(default_factory=HostGate)
    admission: Admission | None = None
    proxy: str | None = field(default=None, repr=False)

    async def get(self, url: str, *, check: CheckUrl = any_url) -> Fetched:
        """The document at the URL.

        Raises:
            ToolError: there is none to be had; says why and what would do.
        """
        fetched = await self.get_if_changed(url, known=None, check=check)
        assert fetched is not None, "nothing is known that it could still be"
        return fetched

    async def get_if_changed(
        self, url: str, *, known: Validators | None, check: CheckUrl = any_url
    ) -> Fetched | None:
        """The same, but None if it is still the version that is known."""
        target = parse_url(url)
        try:
            with anyio.fail_after(self.timeout_seconds):
                return await self._follow(target, known, check)
        except TimeoutError:
            raise ToolError(
                f"{target} took longer than {self.timeout_seconds:g} seconds: try again later, "
                "or use another source"
            ) from None

    async def _follow(
        self, url: httpx2.URL, known: Validators | None, check: CheckUrl
    ) -> Fetched | None:
        """Redirects are followed here, one by one, because every hop must be judged."""
        hop = url
        async with self._client() as client:
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    answer = await self._visit(client, hop, known, check)
                except ToolError as error:
                    if hop is url:
                        raise
                    words = f"{url} redirects to {hop}: {error}"
                    if isinstance(error, RefusedByServer):
                        raise RefusedByServer(
                            words, status=error.status, body=error.body
                        ) from error
                    raise ToolError(words, code=error.code) from error
                if not isinstance(answer, httpx2.URL):
                    return answer
                if origin(answer) != origin(hop):
                    client.cookies.clear()
                hop = answer
        raise ToolError(f"{url} redirects more than {MAX_REDIRECTS} times: use another address")

    async def _visit(
        self,
        client: httpx2.AsyncClient,
        url: httpx2.URL,
        known: Validators | None,
        check: CheckUrl,
    ) -> Fetched | httpx2.URL | None:
        """What is at the URL, or where it redirects to, or None if it is what is known."""
        check(str(url))
        if self.admission is not None:
            await self.admission.admit(url, check)
        headers = known.headers() if known is not None and known.url == str(url) else {}
        async with self.gate.enter(*origin(url)):
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
        # trust_env=False: a proxy or a .netrc from the environment would go around the guard.
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
        """The beginning of what came with an error, if it comes soon."""
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


# --- what is refused ---------------------------------------------------------------------------


def _redirect_target(response: httpx2.Response) -> httpx2.URL:
    try:
        return parse_url(str(response.url.join(response.headers["location"])))
    except (ToolError, httpx2.InvalidURL, UnicodeError) as error:
        raise ToolError(f"{response.url} redirects to an unusable address: {error}") from error


def _refused(response: httpx2.Response, body: ErrorBody | None) -> RefusedByServer:
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
    words = f"{response.url} answered HTTP {status}{_phrase(status)}: {advice}"
    return RefusedByServer(words, status=status, body=body)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def retry_after(response: httpx2.Response) -> str:
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
