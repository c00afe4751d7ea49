"""What on a page is decoration: menus, buttons to share, other articles, comments.

A name is never enough: a class ``menu`` may be of food, ``share-prices`` of shares. Where content
comes before and after, decoration is what is named so and consists of links, or asks for an
address.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import names

if TYPE_CHECKING:
    from lxml.html import HtmlElement

    from kronk_tools.reading.html.measures import Measures

_NAMES = re.compile(
    r"shar(?:e|ing)|social|related|recommend|newsletter|subscri|sign-?up|promo|teaser|advert"
    r"|sponsor|cookie|consent|banner|bread-?crumb|pagination|pager|menu|sidebar|comment|respond"
    r"|reply|tags?(?:$|[ _-]|s)|categor|widget|popular|trending|read-?more|more-|toolbar|print"
    r"|meta(?:$|[ _-])|byline|author|rating|login|paywall|outbrain|taboola|disqus|popup|modal"
    r"|follow|keyword|topics?|latest|similar|jp-|button|badge|carousel"
    r"|foot(?:er|$|[ _-])|nav(?:$|[ _-]|igation|bar|box)"
    r"|(?:^|[ _-])(?:ads?|likes?|next|prev)(?:$|[ _-])"
)
_NAMES_AT_EDGE = re.compile(
    r"author|byline|meta|copyright|hidden|also|credit|slid(?:e|er)|contact|date|time|tool|extra"
    r"|info|links?(?:$|[ _-])|aside|profile|bio|next|prev"
)
_COMMENTS = re.compile(
    r"(?:^| )(?:disqus|comments|respond|commentlist|dsq-\w+|(?:\w+[-_])?comments?[-_]?"
    r"(?:list|area|form|section|wrapper|thread|block|container|respond))(?:[-_ ]|$)"
)
_ASKING = re.compile(r"newsletter|subscri|sign-?up|search|login|mc4wp|comment")
_TAGS = frozenset(("nav", "aside", "footer", "form", "menu"))
_ROLES_NAMES = "navigation complementary contentinfo search banner menu menubar toolbar"
_ROLES = frozenset(_ROLES_NAMES.split())
_LISTS = frozenset(("pre", "table", "figure", "blockquote", "ul", "ol", "dl"))

_MANY_LINKS = 0.4
_SOME_LINKS = 0.25
_NEARLY_ALL_LINKS = 0.8
_MOST = 0.5
_FEW_CHARS = 100
_BOX_CHARS = 30


def is_comments(element: HtmlElement) -> bool:
    """Whether it is named as what readers wrote."""
    return _COMMENTS.search(names(element)) is not None


def is_named(element: HtmlElement) -> bool:
    """Whether its name, its tag or its role is one of decoration."""
    said = names(element)
    return _has_role(element) or _NAMES.search(said) is not None or _is_at_edge(said)


def within(element: HtmlElement, measures: Measures) -> bool:
    """Whether an element with content before and after it is decoration."""
    share = measures.share_of_links(element)
    if is_comments(element):
        return share > _MANY_LINKS / 2
    if _ASKING.search(names(element)) is not None and element.find(".//input") is not None:
        return True
    return share > _MANY_LINKS and _mostly(element, measures, at_edge=False)


def is_menu(element: HtmlElement, measures: Measures, *, is_at_edge: bool) -> bool:
    """Whether it is named as decoration and has hardly anything but links."""
    least = _MANY_LINKS if is_at_edge else _NEARLY_ALL_LINKS
    share = measures.share_of_links(element)
    return share > least and _mostly(element, measures, at_edge=False)


def at_edge(element: HtmlElement, measures: Measures) -> bool:
    """Whether an element before all content, or after it, is decoration."""
    share = measures.share_of_links(element)
    if element.tag == "p":
        return share > _NEARLY_ALL_LINKS or is_named(element)
    if share > _SOME_LINKS or is_comments(element) or _mostly(element, measures, at_edge=True):
        return True
    return element.tag not in _LISTS and measures.total(element) < _FEW_CHARS


def is_beside(element: HtmlElement, measures: Measures) -> bool:
    """Whether an element apart from the content belongs to it: a table, or a box with a heading."""
    if measures.total(element) < _BOX_CHARS or measures.share_of_links(element) > _MANY_LINKS:
        return False
    if _NAMES.search(names(element)) is not None or element.get("role") in _ROLES:
        return False
    if element.tag == "table":
        return element.find(".//th") is not None
    return element.tag == "aside" and element.find(".//h2") is not None


def _mostly(element: HtmlElement, measures: Measures, *, at_edge: bool) -> bool:
    """Whether it, or what makes up most of it, has a name of decoration."""
    most = _MOST * measures.total(element)
    inner: HtmlElement | None = element
    while inner is not None:
        said = names(inner)
        if _has_role(inner) or _NAMES.search(said) is not None or (at_edge and _is_at_edge(said)):
            return True
        inner = next((child for child in inner if measures.total(child) > most), None)
    return False


def _has_role(element: HtmlElement) -> bool:
    return element.tag in _TAGS or element.get("role") in _ROLES


def _is_at_edge(said: str) -> bool:
    return _NAMES_AT_EDGE.search(said) is not None
