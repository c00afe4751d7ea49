"""Which part of a page is its main content.

Trafilatura tells which words are surely content. Where they stand in the tree tells the element
that holds the content; all that is in there between them is content too, whatever its kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import trafilatura

from kronk_tools.reading.html import decoration
from kronk_tools.reading.html.measures import Measures, measure
from kronk_tools.reading.markdown.elements import BLOCKS, HEADINGS, UNSEEN
from kronk_tools.reading.markdown.grid import is_layout

if TYPE_CHECKING:
    from lxml.html import HtmlElement

MAX_ELEMENTS = 40_000
"""With more, trafilatura takes too long, and all but decoration is given."""

_NOT_A_LETTER = re.compile(r"[\W_]+")
_MIN_MATCH_CHARS = 12
_FAR_CHARS = 5_000
_MAX_SEARCHED_CHARS = 500_000_000
"""Of the sure text, over and over: about a quarter of a second."""
_THIN_CHARS = 250
"""Main content below this is often a part of it."""
_LIST_PROSE_CHARS = 300
"""A page with less text outside of its links than this, and than half of theirs, lists them."""
_SHARE_OF_CORE = 0.7
_SOLID_SHARE = 0.3
_SOLID_CHARS = 400
_LEAVES_NAMES = "p li ul ol dl tr td th tbody table blockquote pre"
_PARTS_OF_TABLES = frozenset(("thead", "tbody", "tfoot", "tr", "td", "th"))
_LEAVES = frozenset(_LEAVES_NAMES.split())


@dataclass(frozen=True, slots=True)
class Choice:
    """Where the content is, and what in there is no part of it."""

    root: HtmlElement
    skip: frozenset[HtmlElement]
    left_out: list[HtmlElement]
    """What of ``skip`` stands in the content, in order: a reader might miss it."""


def choose(tree: HtmlElement, url: str) -> Choice:
    """The main content; the whole page but its decoration where none can be told apart."""
    body = tree.find("body")
    root = tree if body is None else body
    measures = measure(root)
    matched: dict[HtmlElement, int] = {}
    if len(measures.totals) <= MAX_ELEMENTS and not _is_link_list(root, measures):
        sure = _sure_text(tree, url)
        matched = {} if _is_thin(sure) else _matched(root, sure)
    pruner = _Pruner(root, measures, matched)
    if not matched.get(root):
        pruner.walk_all(root)
    else:
        pruner.walk(root, is_after=False, is_before=False)
    return Choice(root, frozenset(pruner.skip), pruner.left_out)


def _is_link_list(root: HtmlElement, measures: Measures) -> bool:
    num_links = measures.of_links.get(root, 0)
    return measures.total(root) - num_links < min(_LIST_PROSE_CHARS, num_links / 2)


# --- what is surely content -----------------------------------------------------------------------


def _sure_text(tree: HtmlElement, url: str) -> str:
    document = trafilatura.bare_extraction(
        tree, url=url, include_comments=False, include_links=True, include_formatting=True
    )
    body = getattr(document, "body", None)
    return "" if body is None else _letters("".join(body.itertext()))


def _is_thin(sure: str) -> bool:
    """Whether there is so little that it may be a part. Signs of unspaced scripts say more each."""
    num_letters = len(sure)
    num_dense = sum(1 for letter in sure if letter >= "\u2e80") if num_letters < _THIN_CHARS else 0
    return num_letters + 2 * num_dense < _THIN_CHARS


def _letters(text: str) -> str:
    return _NOT_A_LETTER.sub("", text)


def _matched(root: HtmlElement, sure: str) -> dict[HtmlElement, int]:
    """How many letters in each element are of the sure text, each piece of which is used once."""
    matched: dict[HtmlElement, int] = {}
    used = bytearray(len(sure))
    position = 0
    room = _MAX_SEARCHED_CHARS
    for owner, text in _texts(root) if sure else ():
        words = _letters(text)
        if len(words) < _MIN_MATCH_CHARS:
            continue
        place = sure.find(words, position, position + len(words) + _FAR_CHARS)
        if place < 0 and room > 0:
            place = sure.find(words)
            room -= len(sure)
            while place >= 0 and used[place] and room > 0:
                place = sure.find(words, place + 1)
                room -= _FAR_CHARS
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
    """The pieces of text in order, each with the element it stands in."""
    found: list[tuple[HtmlElement, str]] = []
    for element in root.iter():
        if element.text and isinstance(element.tag, str) and element.tag not in UNSEEN:
            found.append((element, element.text))
        # Not quite in order: what follows an element comes before what is inside of it.
        if element.tail and element is not root:
            found.append((element.getparent(), element.tail))
    return found


# --- what is left out -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Pruner:
    root: HtmlElement
    measures: Measures
    matched: dict[HtmlElement, int]
    skip: set[HtmlElement] = field(default_factory=set)
    left_out: list[HtmlElement] = field(default_factory=list)
    _around: set[HtmlElement] = field(default_factory=set)
    """Elements that hold the core, and have what is beside it in them."""
    _core: HtmlElement | None = None
    """The smallest element with most of what is surely content in it."""
    _has_title: bool = False
    _layouts: dict[HtmlElement, bool] = field(default_factory=dict)
    """Whether a table only arranges the page, as far as was asked."""

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
            self._around.add(core)
            core = inner
        self._core = core

    def walk_all(self, element: HtmlElement) -> None:
        """Everything is content but what is decoration anywhere."""
        for child in element:
            if not isinstance(child.tag, str) or child.tag in UNSEEN:
                continue
            is_such = decoration.within(child, self.measures) and not self._is_part_of_data(child)
            if is_such and not self._is_most(child):
                self._leave_out(child)
            elif _holds_blocks(child):
                self.walk_all(child)

    def walk(self, element: HtmlElement, *, is_after: bool, is_before: bool) -> None:
        """Decide on what is in the element.

        Args:
            is_after: whether content comes before the element.
            is_before: whether content comes after it.
        """
        children = [c for c in element if isinstance(c.tag, str) and c.tag not in UNSEEN]
        if element in self._around:
            self._walk_around(children, is_in_article=_is_in_article(element))
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
                self._leave_out(child)
            elif index in solid:
                self.walk(child, is_after=comes_after, is_before=comes_before)
            elif comes_after and comes_before:
                if decoration.within(child, self.measures):
                    self._leave_out(child)
            elif child.tag == "h1" or child.find(".//h1") is not None:
                self._keep_title(child)
            elif decoration.at_edge(child, self.measures):
                self._leave_out(child)

    def _walk_around(self, children: list[HtmlElement], *, is_in_article: bool) -> None:
        for child in children:
            is_around = child in self._around or child is self._core
            is_sure = (
                self._is_solid(child)
                and self.matched[child] > self.measures.total(child) / 2
                and not decoration.is_named(child)
            )
            if is_around or is_sure:
                self.walk(child, is_after=False, is_before=False)
            elif child.tag == "h1" or child.find(".//h1") is not None or not is_in_article:
                self._keep_title(child)
            elif not decoration.is_section(child, self.measures):
                self._leave_out(child)
        for heading, section in pairwise(children):
            is_kept = section not in self._around and section is not self._core
            if heading.tag in HEADINGS and is_kept and section not in self.skip:
                self.skip.discard(heading)

    def _keep_title(self, element: HtmlElement) -> None:
        """Leave out the element but for the first headline in it, and boxes of the content."""
        if element.tag == "h1":
            is_second, self._has_title = self._has_title, True
            if is_second or self.measures.share_of_links(element) > 0.5:
                self.skip.add(element)
        elif element.find(".//h1") is None:
            if not decoration.is_beside(element, self.measures):
                self.skip.add(element)
        else:
            for child in element:
                if isinstance(child.tag, str):
                    self._keep_title(child)

    def _is_solid(self, element: HtmlElement) -> bool:
        """Whether it has content in it, and not only a line of it."""
        found = self.matched.get(element, 0)
        if decoration.is_comments(element) and found < 0.6 * self.matched.get(self.root, 0):
            return False
        share = _SOLID_SHARE * self.measures.total(element)
        return found > 0 and (found >= share or found > _SOLID_CHARS)

    def _is_part_of_data(self, element: HtmlElement) -> bool:
        """Whether it is a row or cell of a table that is more than a frame for the page."""
        if element.tag not in _PARTS_OF_TABLES:
            return False
        table = next(element.iterancestors("table"), None)
        if table is not None and table not in self._layouts:
            self._layouts[table] = is_layout(table)
        return table is not None and not self._layouts[table]

    def _is_most(self, element: HtmlElement) -> bool:
        return self.measures.total(element) > 0.6 * self.measures.total(self.root)

    def _leave_out(self, element: HtmlElement) -> None:
        self.skip.add(element)
        self.left_out.append(element)


def _is_in_article(element: HtmlElement) -> bool:
    """Whether the page itself says that the element is of an article."""
    above: HtmlElement | None = element
    while above is not None:
        if above.tag == "article" or above.get("role") == "article":
            return True
        above = above.getparent()
    return False


def _stands_alone(element: HtmlElement) -> bool:
    """Whether an inline element has blocks in it, or no text beside it."""
    if _holds_blocks(element):
        return True
    before = element.getprevious()
    text = element.getparent().text if before is None else before.tail
    return not (text or "").strip() and not (element.tail or "").strip()


def _holds_blocks(element: HtmlElement) -> bool:
    """Whether there are blocks in it, so that parts of it can be left out."""
    return any(
        child.tag in BLOCKS or any(inner.tag in BLOCKS for inner in child)
        for child in element
        if isinstance(child.tag, str)
    )
