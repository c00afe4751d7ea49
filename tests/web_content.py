"""Kinds of content, each put into pages of several lengths and shapes, and what should be read.

``web_content.txt`` has the kinds: a line ``=== name``, the HTML, a line ``---``, and the Markdown
that should stand between the words before it and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BEFORE = "The words before it end here."
AFTER = "The words after it begin here."
URL = "https://harbour.example/times"

_SENTENCES = (
    "The pilot boat leaves the inner basin as soon as the fog has lifted from the river mouth.",
    "Whoever wants to moor for the night pays at the office beside the old crane, in coins.",
    "Two keepers live on the breakwater and light the lamp an hour before the sun goes down.",
    "In winter the ice is sawn by hand, since the ferry must reach the island every morning.",
    "The nets are mended on the gravel in front of the chandlery, where the wind dries them.",
)
_MENU = "".join(f'<li><a href="/m/{word}">{word}</a></li>' for word in ("Home", "Boats", "Fares"))
_OTHERS = "".join(
    f'<li><a href="/n/{number}">Another story of the harbour, number {number}</a></li>'
    for number in range(6)
)


def _paragraphs(number: int) -> str:
    return "".join(
        f"<p>{_SENTENCES[index % 5]} {_SENTENCES[(index * 3 + 1) % 5]} It was {1800 + index}.</p>"
        for index in range(number)
    )


def _page(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Times</title></head>'
        f"<body>{body}</body></html>"
    )


def _around(html: str, number: int) -> str:
    return (
        f"{_paragraphs(number)}<p>{_SENTENCES[0]} {BEFORE}</p>{html}<p>{AFTER} {_SENTENCES[1]}</p>"
        f"{_paragraphs(number)}"
    )


def _short(html: str) -> str:
    return _page(f"<p>{BEFORE}</p>{html}<p>{AFTER}</p>")


def _article(html: str) -> str:
    return _page(f"<main><article><h1>Times</h1>{_around(html, 1)}</article></main>")


def _long(html: str) -> str:
    return _page(f"<main><article><h1>Times</h1>{_around(html, 40)}</article></main>")


def _divs(html: str) -> str:
    """A page of an older site: nothing but names says what is what."""
    return _page(
        f'<div id="top"><div class="logo"><a href="/">Harbour</a></div><ul class="nav">{_MENU}</ul>'
        f'</div><div id="page"><div class="post-body">{_around(html, 3)}</div>'
        f'<div id="sidebar"><h3>Most read</h3><ul>{_OTHERS}</ul></div></div>'
        f'<div id="footer"><ul>{_MENU}</ul><p>All rights reserved.</p></div>'
    )


def _site(html: str) -> str:
    """A page with all that is around an article today."""
    return _page(
        f'<header><a href="/">Harbour</a><nav><ul>{_MENU}</ul></nav></header><main>'
        f'<nav class="breadcrumb"><a href="/">Home</a> / <a href="/t">Times</a></nav>'
        f"<article><header><h1>Times</h1></header>{_around(html, 4)}"
        f'<div class="share"><a href="/s/1">Share</a> <a href="/s/2">Send</a></div></article>'
        f'<section class="related"><h2>More of it</h2><ul>{_OTHERS}</ul></section>'
        f'<aside class="sidebar"><h2>Latest</h2><ul>{_OTHERS}</ul></aside></main>'
        f'<div id="cookie-banner"><p>We use cookies.</p><button>Accept</button></div>'
        f"<footer><ul>{_MENU}</ul><p>All rights reserved.</p></footer>"
    )


FRAMES: Mapping[str, Callable[[str], str]] = {
    "short": _short,
    "article": _article,
    "long": _long,
    "divs": _divs,
    "site": _site,
}
"""Pages around a piece of HTML, by name."""

DECORATION = ("Another story", "Share", "We use cookies", "All rights reserved", "Fares")
"""Words of the pages that are no part of their content."""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    html: str
    expected: str
    """The Markdown between the words before and after."""


def kinds() -> list[Kind]:
    """All kinds of content, in the order of the file."""
    found = []
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for section in text.split("\n=== ")[1:]:
        name, _, rest = section.partition("\n")
        html, _, expected = rest.partition("\n---\n")
        found.append(Kind(name, html, expected.strip("\n")))
    return found


def between(text: str) -> str | None:
    """What a reader is given between the words before and after; None if those are not there."""
    _, found, rest = text.partition(BEFORE)
    piece, found_after, _ = rest.partition(AFTER)
    return piece.strip("\n") if found and found_after else None
