"""URLs: found in text, validated and normalized.

Import on use: httpx2 is heavy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

import httpx2

from kronk_agent.errors import ToolError
from kronk_tools.text import one_line

MAX_URL_CHARS = 2_048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IN_TEXT = re.compile(
    r"https?://(?:\[[\da-f:.]+\])?[^\s<>\"'`|\\^{}\[\]]{1,2048}"
    # without a scheme
    r"|(?<![\w@./:-])(?:[\w-]{1,63}\.)+[^\W\d_]{2,63}(?::\d{1,5})?(?:/[^\s<>\"'`|\\^{}\[\]]{0,2048})?",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?*_~)]}”’»…"
"""Characters that may follow a URL in a sentence or in Markdown, or may be its end."""
_MAX_ENDINGS = 8


def parse_url(text: str) -> httpx2.URL:
    """Parse a URL; the fragment is removed and the host name converted to ASCII.

    Raises:
        ToolError: the text is not a web URL, or contains a user name or password.
    """
    text = text.strip()
    shown = repr(one_line(text, max_chars=200))
    if len(text) > MAX_URL_CHARS:
        raise ToolError(
            f"{shown} is longer than {MAX_URL_CHARS:,} characters: use a shorter URL",
            code="url_too_long",
        )
    try:
        url = httpx2.URL(text)
        host = url.host
    except (httpx2.InvalidURL, UnicodeError) as error:  # UnicodeError: a host that is no IDN
        raise ToolError(f"{shown} is not a valid URL: {error}") from error
    if url.scheme not in _DEFAULT_PORTS:
        example = "https://example.com" if url.scheme else f"https://{text.lstrip('/')}"
        raise ToolError(f"{shown} is not a web address: give a full one, such as {example}")
    if not host:
        raise ToolError(f"{shown} names no host: give a full address, such as https://example.com")
    if url.userinfo:
        raise ToolError(f"{host}: a user name or password in a URL is not allowed; remove it")
    if url.port is not None and not 0 < url.port < 65536:
        raise ToolError(f"{shown} has an impossible port: ports go from 1 to 65535")
    return url.copy_with(fragment=None)


def origin(url: httpx2.URL) -> tuple[str, str, int]:
    """Scheme, host and port: the scope of cookies, robots.txt and rate limits."""
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def normalized_url(url: str) -> str | None:
    """Normalize a URL for comparison; None if it is not a web URL.

    http and https, and a trailing slash or none, compare equal, because models mix them up.
    """
    try:
        parsed = parse_url(url)
    except ToolError:
        return None
    port = parsed.port or _DEFAULT_PORTS[parsed.scheme]
    host = _normalized_host(parsed.raw_host.decode("ascii").rstrip("."))
    if not host:
        return None
    authority = host if port in _DEFAULT_PORTS.values() else f"{host}:{port}"
    return authority + parsed.raw_path.decode("ascii").rstrip("/")


def _normalized_host(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def find_urls(text: str) -> Iterator[str]:
    """Find the URLs in a text, as they are spelled there; ``example.com/page`` becomes https.

    If it is unclear whether a character still belongs to a URL, both variants are returned.
    """
    for match in _IN_TEXT.finditer(text):
        found = match[0] if "://" in match[0] else f"https://{match[0]}"
        for _ in range(_MAX_ENDINGS):
            yield found
            if found[-1] in _TRAILING:
                found = found[:-1]
            elif ")" in found:  # in Markdown a URL ends at its bracket, whatever follows
                found = found[: found.rindex(")")]
            else:
                break
