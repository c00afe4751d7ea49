"""RSS, RDF and Atom feeds, as a list of their entries."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from lxml import etree, html  # pyright: ignore[reportAttributeAccessIssue]  # has no types

from kronk_tools.reading.document import MAX_LINKS, Document
from kronk_tools.text import clean, one_line

if TYPE_CHECKING:
    from lxml.etree import _Element

_MAX_ENTRIES = 200
_MAX_SUMMARY_CHARS = 400
_MAX_TITLE_CHARS = 200


def read_feed(text: str, url: str) -> Document | None:
    """Read a feed; None if it is too malformed."""
    # Entities are not resolved and nothing is loaded, since a feed is untrusted.
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=False)
    root = etree.fromstring(text.lstrip().encode(), parser)
    if root is None:
        return None
    channel = _child(root, "channel")
    channel = root if channel is None else channel
    entries = [e for e in root.iter(etree.Element) if _name(e) in ("item", "entry")]
    links: dict[str, None] = {}
    blocks = []
    for entry in entries[:_MAX_ENTRIES]:
        link = _link(entry, url)
        if link:
            links[link] = None
        blocks.append("\n".join(_entry_lines(entry, link)))
    note = f"Only the first {_MAX_ENTRIES} of its {len(entries)} entries are listed."
    return Document(
        text="\n\n".join(blocks) or "(the feed has no entries)",
        title=_text(channel, "title") or None,
        date=_date(channel),
        author=_author(channel) or None,
        language=_text(channel, "language")
        or root.get("{http://www.w3.org/XML/1998/namespace}lang"),
        canonical_url=_link(channel, url),
        note=note if len(entries) > _MAX_ENTRIES else None,
        links=tuple(links)[:MAX_LINKS],
    )


def _entry_lines(entry: _Element, link: str | None) -> Iterator[str]:
    title = _text(entry, "title") or link or "(no title)"
    yield f"- [{title}]({link})" if link else f"- {title}"
    facts = [fact for fact in (_date(entry), _author(entry)) if fact]
    if facts:
        yield f"  {', '.join(facts)}"
    summary = _plain(_text(entry, "description", "summary", "encoded", "content", limit=100_000))
    if summary:
        yield f"  {summary}"


def _name(element: _Element) -> str:
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""


def _child(element: _Element, *names: str) -> _Element | None:
    """The first child with one of these names, in the order of the names, in any namespace."""
    for name in names:
        for child in element:
            if _name(child) == name:
                return child
    return None


def _text(element: _Element, *names: str, limit: int = _MAX_TITLE_CHARS) -> str:
    child = _child(element, *names)
    return "" if child is None else one_line("".join(child.itertext()), max_chars=limit)


def _link(element: _Element, base: str) -> str | None:
    """URL of an element: RSS writes it as text, Atom as an attribute and with several relations."""
    links = [child for child in element if _name(child) == "link"]
    chosen = [x for x in links if x.get("rel", "alternate") == "alternate"] or links
    for link in chosen:
        target = (link.get("href") or link.text or "").strip()
        try:
            joined = clean(urljoin(base, target)) if target else ""
        except ValueError:  # an invalid port or address
            continue
        if joined.startswith(("http://", "https://")):
            return "".join(joined.split())
    return None


def _author(element: _Element) -> str:
    author = _child(element, "author", "creator")
    if author is None:
        return ""
    return _text(author, "name") or one_line("".join(author.itertext()), max_chars=_MAX_TITLE_CHARS)


def _date(element: _Element) -> str | None:
    written = _text(element, "pubDate", "published", "updated", "date", "lastBuildDate")
    try:
        return parsedate_to_datetime(written).date().isoformat()
    except (ValueError, OverflowError):
        return written[:10] or None


def _plain(markup: str) -> str:
    """Text of a summary, which is HTML in text."""
    if "<" not in markup:
        return one_line(markup, max_chars=_MAX_SUMMARY_CHARS)
    fragment = html.fromstring(f"<div>{markup}</div>")
    return one_line(" ".join(fragment.itertext()), max_chars=_MAX_SUMMARY_CHARS)
