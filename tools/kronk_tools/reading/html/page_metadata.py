"""Metadata of a page: title, date, author, links, and redirects in its HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from trafilatura.metadata import extract_metadata

from kronk_tools.reading.document import MAX_LINKS, Document
from kronk_tools.text import clean, one_line

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_MAX_TITLE_CHARS = 200
_REFRESH = re.compile(
    r"\s*(?:[\d.]*\s*[;,]|[\d.]+\s|(?=url))\s*(?:url\s*=\s*)?(['\"]?)(?P<url>[^'\"]+)\1",
    re.IGNORECASE,
)
_LOCATION = re.compile(
    r"\blocation(?:\.href)?\s*=\s*['\"]([^'\"\s]{1,2000})['\"]"
    r"|\blocation\.(?:replace|assign)\(\s*['\"]([^'\"\s]{1,2000})['\"]"
)
_MAX_SCRIPT_CHARS = 10_000


def page_metadata(tree: HtmlElement, url: str, links: dict[str, str]) -> Document:
    """Return a document with the page's metadata, and without text."""
    found = extract_metadata(tree, url, extensive=False)
    canonical = tree.xpath("string(//link[@rel='canonical']/@href)")
    return Document(
        text="",
        title=_title(tree),
        date=found.date,
        author=_optional(found.author),
        language=_optional(
            tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang")
        ),
        canonical_url=_optional(absolute_url(url, canonical)) if canonical else None,
        links=tuple(links),
    )


def base_url(tree: HtmlElement, url: str) -> str:
    """Base URL of the page's relative links."""
    return absolute_url(url, tree.xpath("string(//base/@href)")) or url


def collect_links(tree: HtmlElement, base: str) -> dict[str, str]:
    """Links of the page in order, without duplicates, with their texts."""
    links: dict[str, str] = {}
    for element in tree.iter("a", "area", "iframe", "frame"):
        is_frame = element.tag in ("iframe", "frame")
        href = (element.get("src" if is_frame else "href") or "").strip()
        if not href or href.startswith("#"):
            continue
        target = absolute_url(base, href).partition("#")[0]
        words = one_line(
            element.text_content() or element.get("alt") or element.get("title") or "",
            max_chars=_MAX_TITLE_CHARS,
        )
        if target.startswith(("http://", "https://")) and not links.get(target):
            links[target] = words
        if len(links) >= MAX_LINKS:
            break
    return links


def redirect_target(tree: HtmlElement, base: str, url: str, *, is_thin: bool) -> str | None:
    """URL that the page redirects to by ``meta refresh`` or a script; None if it does not.

    Args:
        is_thin: True if the page has hardly any text, so that a script that changes the location is
            its whole purpose.
    """
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").strip().lower() != "refresh":
            continue
        if next(meta.iterancestors("noscript"), None) is not None:
            continue
        match = _REFRESH.match(meta.get("content") or "")
        target = _other(match["url"], base, url) if match is not None else None
        if target is not None:
            return target
    for script in tree.iter("script") if is_thin else ():
        match = _LOCATION.search((script.text or "")[:_MAX_SCRIPT_CHARS])
        target = _other(match[1] or match[2], base, url) if match is not None else None
        if target is not None:
            return target
    return None


def _other(target: str, base: str, url: str) -> str | None:
    address = absolute_url(base, target)
    is_other = address.partition("#")[0] != url.partition("#")[0]
    return address if is_other and address.startswith(("http://", "https://")) else None


def _title(tree: HtmlElement) -> str | None:
    for path in (".//head/title", ".//h1"):
        element = tree.find(path)
        title = _optional(None if element is None else element.text_content())
        if title:
            return title
    return None


def _optional(text: str | None) -> str | None:
    return one_line(text or "", max_chars=_MAX_TITLE_CHARS) or None


def absolute_url(base: str, target: str) -> str:
    """Resolve a URL; empty if it is invalid."""
    try:
        return clean(urljoin(base, target.strip())).replace(" ", "%20")
    except ValueError:  # an invalid port or address
        return ""
