"""Selection of a page's main content.

Trafilatura extracts text that is certainly content. The position of that text in the tree
identifies the element with the content; everything between is content too, of any kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import trafilatura

from kronk_tools.reading.html import decoration
from kronk_tools.reading.html.measures import Measures, measure
from kronk_tools.reading.markdown.elements import BLOCKS, HEADINGS, INVISIBLE_TAGS
from kronk_tools.reading.markdown.grid import is_layout

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_ELEMENTS = 40_000
"""On larger pages trafilatura is too slow, and everything except decoration is returned."""

_NOT_A_LETTER = re.compile(r"[\W_]+")
_MIN_MATCH_CHARS = 12
_FAR_CHARS = 5_000
_MAX_SEARCHED_CHARS = 500_000_000
"""Characters searched in total: about a quarter of a second."""
_THIN_CHARS = 250
"""Shorter main content is often incomplete."""
_LIST_PROSE_CHARS = 300
"""A page with less text outside of links than this, and less than half as much as in links, is a
list of links."""
_SHARE_OF_CORE = 0.7
_SOLID_SHARE = 0.3
_SOLID_CHARS = 400
_LEAVES_NAMES = "p li ul ol dl tr td th tbody table blockquote pre"
_PARTS_OF_TABLES = frozenset(("thead", "tbody", "tfoot", "tr", "td", "th"))
_LEAVES = frozenset(_LEAVES_NAMES.split())


@dataclass(frozen=True, slots=True)
class MainContent:
    """Root element of the content, and the elements in it that are omitted."""

    root: HtmlElement
    skip: frozenset[HtmlElement]
    omitted: list[HtmlElement]
    """Elements of ``skip`` within the content, in order: a reader might miss them."""


def choose_main_content(tree: HtmlElement, url: str) -> MainContent:
    """Select the main content; without any, the whole page except for decoration."""
    body = tree.find("body")
    root = tree if body is None else body
    measures = measure(root)
    matched: dict[HtmlElement, int] = {}
    if len(measures.totals) <= MAX_ELEMENTS and not _is_link_list(root, measures):
        certain = _certain_text(tree, url)
        matched = {} if _is_thin(certain) else _matched(root, certain)
    pruner = _Pruner(root, measures, matched)
    if not matched.get(root):
        pruner.walk_all(root)
    else:
        pruner.walk(root, is_after=False, is_before=False)
    return MainContent(root, frozenset(pruner.skip), pruner.omitted)


def _is_link_list(root: HtmlElement, measures: Measures) -> bool:
    num_links = measures.of_links.get(root, 0)
    return measures.total(root) - num_links < min(_LIST_PROSE_CHARS, num_links / 2)


# --- certain content ------------------------------------------------------------------------------


def _certain_text(tree: HtmlElement, url: str) -> str:
    document = trafilatura.bare_extraction(
        tree, url=url, include_comments=False, include_links=True, include_formatting=True
    )
    body = getattr(document, "body", None)
    return "" if body is None else _letters("".join(body.itertext()))


def _is_thin(certain: str) -> bool:
    """True if the text is so short that it may be incomplete.

    Characters of scripts without spaces count three times, since each says more.
    """
    num_letters = len(certain)
    num_dense = (
        sum(1 for letter in certain if letter >= "\u2e80") if num_letters < _THIN_CHARS else 0
    )
    return num_letters + 2 * num_dense < _THIN_CHARS


def _letters(text: str) -> str:
    return _NOT_A_LETTER.sub("", text)


def _matched(root: HtmlElement, certain: str) -> dict[HtmlElement, int]:
    """Number of letters in each element that are part of the certain text, each used once."""
    matched: dict[HtmlElement, int] = {}
    used = bytearray(len(certain))
    position = 0
    budget = _MAX_SEARCHED_CHARS
    for owner, text in _texts(root) if certain else ():
        words = _letters(text)
        if len(words) < _MIN_MATCH_CHARS:
            continue
        place = certain.find(words, position, position + len(words) + _FAR_CHARS)
        if place < 0 and budget > 0:
            place = certain.find(words)
            budget -= len(certain)
            while place >= 0 and used[place] and budget > 0:
                place = certain.find(words, place + 1)
                budget -= _FAR_CHARS
        if place < 0 or used[place]:
            continue
        position = place + len(words)
        used[place:position] = b"\1" * len(words)
        above: HtmlElement | None = owner
        while above is not None:
            matched[above] = matched.get(above, 0) + len(words)
            above = None if above is root else above.getparent()
    return matched


def _texts(root: HtmlElement) -> list[tuple[HtmlElement, str]]:
    """The pieces of text, each with the element that contains it."""
    found: list[tuple[HtmlElement, str]] = []
    for element in root.iter():
        if element.text and isinstance(element.tag, str) and element.tag not in INVISIBLE_TAGS:
            found.append((element, element.text))
        # Not quite in document order: the text after an element precedes the text inside it.
        if element.tail and element is not root:
            found.append((element.getparent(), element.tail))
    return found


# --- omissions ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pruner:
    root: HtmlElement
    measures: Measures
    matched: dict[HtmlElement, int]
    skip: set[HtmlElement] = field(default_factory=set)
    omitted: list[HtmlElement] = field(default_factory=list)
    _core_ancestors: set[HtmlElement] = field(default_factory=set)
    """Ancestors of the core element."""
    _core: HtmlElement | None = None
    """The smallest element that contains most of the certain content."""
    _has_title: bool = False
    _layouts: dict[HtmlElement, bool] = field(default_factory=dict)
    """Cached results of ``is_layout`` by table."""

    def __post_init__(self) -> None:
        core = self.root
        while True:
            least = _SHARE_OF_CORE * self.matched.get(core, 1)
            inner = next(
                (
                    child
                    for child in core
                    if child.tag in BLOCKS and self.matched.get(child, 0) >= least
                ),
                None,
            )
            if inner is None or inner.tag in _LEAVES:
                break
            self._core_ancestors.add(core)
            core = inner
        self._core = core

    def walk_all(self, element: HtmlElement) -> None:
        """Keep everything except for decoration."""
        for child in element:
            if not isinstance(child.tag, str) or child.tag in INVISIBLE_TAGS:
                continue
            is_decoration = decoration.is_inner_decoration(
                child, self.measures
            ) and not self._is_part_of_data(child)
            if is_decoration and not self._is_most(child):
                self._omit(child)
            elif _holds_blocks(child):
                self.walk_all(child)

    def walk(self, element: HtmlElement, *, is_after: bool, is_before: bool) -> None:
        """Decide which parts of the element are kept.

        Args:
            is_after: True if content precedes the element.
            is_before: True if content follows the element.
        """
        children = [c for c in element if isinstance(c.tag, str) and c.tag not in INVISIBLE_TAGS]
        if element in self._core_ancestors:
            self._walk_core_ancestor(children, is_in_article=_is_in_article(element))
            return
        if not _holds_blocks(element):
            return
        solid = {index for index, child in enumerate(children) if self._is_solid(child)}
        first, last = min(solid, default=len(children)), max(solid, default=-1)
        for index, child in enumerate(children):
            comes_after, comes_before = is_after or first < index, is_before or last > index
            if child.tag not in BLOCKS and not _stands_alone(child):
                continue  # a part of a line
            if self._is_part_of_data(child):
                continue
            is_at_edge = not (comes_after and comes_before)
            if decoration.is_menu(child, self.measures, is_at_edge=is_at_edge):
                self._omit(child)
            elif index in solid:
                self.walk(child, is_after=comes_after, is_before=comes_before)
            elif comes_after and comes_before:
                if decoration.is_inner_decoration(child, self.measures):
                    self._omit(child)
            elif child.tag == "h1" or child.find(".//h1") is not None:
                self._keep_title(child)
            elif decoration.is_edge_decoration(child, self.measures):
                self._omit(child)

    def _walk_core_ancestor(self, children: list[HtmlElement], *, is_in_article: bool) -> None:
        for child in children:
            holds_core = child in self._core_ancestors or child is self._core
            is_certain = (
                self._is_solid(child)
                and self.matched[child] > self.measures.total(child) / 2
                and not decoration.is_named(child)
            )
            if holds_core or is_certain:
                self.walk(child, is_after=False, is_before=False)
            elif child.tag == "h1" or child.find(".//h1") is not None or not is_in_article:
                self._keep_title(child)
            elif not decoration.is_section(child, self.measures):
                self._omit(child)
        for heading, section in pairwise(children):
            is_kept = section not in self._core_ancestors and section is not self._core
            if heading.tag in HEADINGS and is_kept and section not in self.skip:
                self.skip.discard(heading)

    def _keep_title(self, element: HtmlElement) -> None:
        """Omit the element except for its first headline and boxes that belong to the content."""
        if element.tag == "h1":
            is_second, self._has_title = self._has_title, True
            if is_second or self.measures.share_of_links(element) > 0.5:
                self.skip.add(element)
        elif element.find(".//h1") is None:
            if not decoration.is_sidebar_content(element, self.measures):
                self.skip.add(element)
        else:
            for child in element:
                if isinstance(child.tag, str):
                    self._keep_title(child)

    def _is_solid(self, element: HtmlElement) -> bool:
        """True if the element contains content, and not only a line of it."""
        found = self.matched.get(element, 0)
        if decoration.is_comments(element) and found < 0.6 * self.matched.get(self.root, 0):
            return False
        share = _SOLID_SHARE * self.measures.total(element)
        return found > 0 and (found >= share or found > _SOLID_CHARS)

    def _is_part_of_data(self, element: HtmlElement) -> bool:
        """True for a row or cell of a table that is not just used for layout."""
        if element.tag not in _PARTS_OF_TABLES:
            return False
        table = next(element.iterancestors("table"), None)
        if table is not None and table not in self._layouts:
            self._layouts[table] = is_layout(table)
        return table is not None and not self._layouts[table]

    def _is_most(self, element: HtmlElement) -> bool:
        return self.measures.total(element) > 0.6 * self.measures.total(self.root)

    def _omit(self, element: HtmlElement) -> None:
        self.skip.add(element)
        self.omitted.append(element)


def _is_in_article(element: HtmlElement) -> bool:
    """True if the page marks the element as part of an article."""
    above: HtmlElement | None = element
    while above is not None:
        if above.tag == "article" or above.get("role") == "article":
            return True
        above = above.getparent()
    return False


def _stands_alone(element: HtmlElement) -> bool:
    """True if an inline element contains blocks, or has no text next to it."""
    if _holds_blocks(element):
        return True
    before = element.getprevious()
    text = element.getparent().text if before is None else before.tail
    return not (text or "").strip() and not (element.tail or "").strip()


def _holds_blocks(element: HtmlElement) -> bool:
    """True if the element contains blocks, so that parts of it can be omitted."""
    return any(
        child.tag in BLOCKS or any(inner.tag in BLOCKS for inner in child)
        for child in element
        if isinstance(child.tag, str)
    )
