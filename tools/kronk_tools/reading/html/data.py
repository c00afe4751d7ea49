"""Text in the head and the data of a page, for pages that a script has yet to build."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from lxml import html as lxml_html

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_DESCRIPTIONS = ("description", "og:description", "twitter:description")
_JSON_TYPES = ("application/json", "application/ld+json")
_STATE = re.compile(r"[\w$\]'\"]\s*=\s*(?=[{\[])")
"""An assignment whose value may be JSON."""
_MAX_STATES = 20
_IGNORED_KEYS = frozenset(
    ("@context", "@id", "buildId", "nonce", "hash", "key", "locale", "className")
)
_MAX_JSON_CHARS = 2_000_000
_MAX_CHARS = 40_000
_MAX_DEPTH = 30
_MAX_WORD_CHARS = 120
"""Longer words are codes and keys."""
_ASKS_FOR_JAVASCRIPT = re.compile(r"java\s?script", re.IGNORECASE)


def head_and_script_data(tree: HtmlElement) -> str:
    """Descriptions, then the data as lines of ``name: value``; may be empty."""
    paragraphs = list(dict.fromkeys(_descriptions(tree)))
    return "\n\n".join(filter(None, [*paragraphs, script_data(tree)]))


def script_data(tree: HtmlElement) -> str:
    """JSON data of the page's scripts as lines of ``name: value``; may be empty."""
    lines: dict[str, None] = {}
    num_chars = 0
    for value in _data(tree):
        for line in _lines(value, "", 0):
            if line in lines:
                continue
            num_chars += len(line)
            if num_chars > _MAX_CHARS:
                lines[f"(There is more than {_MAX_CHARS:,} characters of it.)"] = None
                return "\n".join(lines)
            lines[line] = None
    return "\n".join(lines)


def _descriptions(tree: HtmlElement) -> Iterator[str]:
    for meta in tree.iter("meta"):
        named = (meta.get("name") or meta.get("property") or "").lower()
        words = " ".join((meta.get("content") or "").split())
        if named in _DESCRIPTIONS and words:
            yield words
    for noscript in tree.iter("noscript"):
        words = " ".join(noscript.text_content().split())
        if words and _ASKS_FOR_JAVASCRIPT.search(words) is None:
            yield words


def _data(tree: HtmlElement) -> Iterator[Any]:
    for script in tree.iter("script"):
        text = (script.text or "").strip()
        if not text or len(text) > _MAX_JSON_CHARS:
            continue
        starts = [0]
        if (script.get("type") or "").strip().lower() not in _JSON_TYPES:
            starts = [match.end() for match in islice(_STATE.finditer(text), _MAX_STATES)]
        for start in starts:
            with suppress(ValueError, RecursionError):
                yield json.JSONDecoder().raw_decode(text, start)[0]


def _lines(value: Any, path: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    match value:
        case dict():
            for name, inner in value.items():
                if name not in _IGNORED_KEYS:
                    yield from _lines(inner, f"{path}.{name}" if path else name, depth + 1)
        case list():
            for inner in value:
                yield from _lines(inner, path, depth + 1)
        case str():
            words = _words(value)
            if words:
                yield f"{path}: {words}" if path else words
        case bool() | None:
            return
        case _:
            yield f"{path}: {value}"


def _words(text: str) -> str:
    if "<" in text and ">" in text:
        text = " ".join(lxml_html.fromstring(f"<div>{text}</div>").itertext())
    words = text.split()
    if not words or max(map(len, words)) > _MAX_WORD_CHARS:
        return ""
    return " ".join(words)
