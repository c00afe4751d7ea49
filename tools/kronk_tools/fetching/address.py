"""Addresses of the web: read from text, checked, and brought to a form that compares.

Import it on use: httpx2 is heavy.
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
    # bare, as people write them
    r"|(?<![\w@./:-])(?:[\w-]{1,63}\.)+[^\W\d_]{2,63}(?::\d{1,5})?(?:/[^\s<>\"'`|\\^{}\[\]]{0,2048})?",
    re.IGNORECASE,
)
_AROUND = ".,;:!?*_~)]}”’»…"
"""What follows an address in a sentence or in Markdown, and can also be its end."""
_MAX_ENDINGS = 8


def parse_url(text: str) -> httpx2.URL:
    """The URL, without its fragment; a host name in its ASCII form.

    Raises:
        ToolError: it is no address of the web, or one with a user name or password.
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
    """What cookies, robots.txt and politeness belong to."""
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def comparable(url: str) -> str | None:
    """The same text for all spellings of an address; None for what is no address of the web.

    http and https, and a slash at the end or none, make no difference: models mix them up.
    """
    try:
        parsed = parse_url(url)
    except ToolError:
        return None
    port = parsed.port or _DEFAULT_PORTS[parsed.scheme]
    host = _spelled_once(parsed.raw_host.decode("ascii").rstrip("."))
    if not host:
        return None
    place = host if port in _DEFAULT_PORTS.values() else f"{host}:{port}"
    return place + parsed.raw_path.decode("ascii").rstrip("/")


def _spelled_once(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def addresses_in(text: str) -> Iterator[str]:
    """The addresses in a text, as they stand there; ``example.com/page`` is https.

    Where it is not clear whether a sign still belongs to an address, there is one with it and one
    without.
    """
    for match in _IN_TEXT.finditer(text):
        found = match[0] if "://" in match[0] else f"https://{match[0]}"
        for _ in range(_MAX_ENDINGS):
            yield found
            if found[-1] in _AROUND:
                found = found[:-1]
            elif ")" in found:  # in Markdown an address ends at its bracket, whatever follows
                found = found[: found.rindex(")")]
            else:
                break
