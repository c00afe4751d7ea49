"""Properties of HTML elements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_BLOCKS_NAMES = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html "
    "legend li listing main menu nav ol p plaintext pre search section summary table tbody td "
    "tfoot th thead tr ul xmp"
)
BLOCKS = frozenset(_BLOCKS_NAMES.split())
HEADINGS = {f"h{level}": level for level in range(1, 7)}
_INVISIBLE_TAG_NAMES = (
    "script style template head noscript noframes link meta title base param source track "
    "datalist colgroup col rp"
)
INVISIBLE_TAGS = frozenset(_INVISIBLE_TAG_NAMES.split())
"""Elements that are not displayed; the text after them is."""
PREFORMATTED = frozenset(("pre", "listing", "xmp", "plaintext"))

_ROLES = {
    "table": "table",
    "grid": "table",
    "treegrid": "table",
    "rowgroup": "tbody",
    "row": "tr",
    "cell": "td",
    "gridcell": "td",
    "rowheader": "th",
    "columnheader": "th",
    "list": "ul",
    "listitem": "li",
    "heading": "heading",
    "separator": "hr",
    "paragraph": "p",
    "blockquote": "blockquote",
    "term": "dt",
    "definition": "dd",
}
_DISPLAYS = {
    "table": "table",
    "table-row-group": "tbody",
    "table-header-group": "thead",
    "table-row": "tr",
    "table-cell": "td",
    "table-caption": "caption",
    "list-item": "li",
    "block": "div",
    "flex": "div",
    "grid": "div",
}
_GENERIC = frozenset(("div", "span", "section", "p", "a", "b", "i", "em", "strong", "label"))
_DISPLAY = re.compile(r"(?:^|;)\s*display\s*:\s*([a-z-]+)", re.IGNORECASE)
_MAX_LEVEL = 6


def effective_tag(element: HtmlElement) -> str:
    """The effective HTML tag: its tag, or what its role or style turns it into."""
    tag = element.tag
    if not isinstance(tag, str):  # a comment
        return "script"
    tag = tag.lower().rpartition("}")[2].rpartition(":")[2]
    role = element.get("role")
    if role is not None:
        found = _ROLES.get(role.strip().lower())
        if found == "heading":
            return f"h{_level(element)}" if tag not in HEADINGS else tag
        if found == "li" and tag in ("dt", "dd"):
            return tag
        if found is not None and (tag in _GENERIC or tag not in BLOCKS):
            return found
    if tag in _GENERIC:
        style = element.get("style")
        if style is not None and "display" in style:
            match = _DISPLAY.search(style)
            found = _DISPLAYS.get(match[1].lower()) if match is not None else None
            if found is not None and (found != "div" or tag in ("span", "label")):
                return found
    return tag


def _level(element: HtmlElement) -> int:
    level = element.get("aria-level", "2").strip()
    return min(max(int(level), 1), _MAX_LEVEL) if level.isdecimal() and len(level) < 3 else 2


def id_and_classes(element: HtmlElement) -> str:
    """The id and classes, in lower case, with single spaces between and around them."""
    return f" {' '.join((element.get('id', '') + ' ' + element.get('class', '')).split())} ".lower()


def number(text: str | None, default: int, *, lowest: int, highest: int) -> int:
    """An integer in an attribute, clamped; the default if it is missing or invalid."""
    match = re.match(r"\s*([+-]?\d{1,9})", text or "")
    return default if match is None else min(max(int(match[1]), lowest), highest)
