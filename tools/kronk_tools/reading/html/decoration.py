"""Detection of decoration: menus, share buttons, related articles, comments.

A name alone is not enough: the class ``menu`` may be of food, ``share-prices`` of stocks. Between
content, an element is decoration if it is named so and consists of links, or asks for an email
address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import id_and_classes

if TYPE_CHECKING:
    from lxml.html import HtmlElement

    from kronk_tools.reading.html.measures import Measures

_NAMES = re.compile(
    r"shar(?:e|ing)|social|related|recommend|newsletter|subscri|sign-?up|promo|teaser|advert"
    r"|sponsor|cookie|consent|banner|bread-?crumb|pagination|pager|menu|sidebar|comment|respond"
    r"|reply|tags?(?:$|[ _-]|s)|categor|widget|popular|trending|read-?more|more-|toolbar"
    r"|meta(?:$|[ _-])|byline|author|rating|login|paywall|outbrain|taboola|disqus|popup|modal"
    r"|follow|keyword|topics?|latest|similar|jp-|button|badge|carousel"
    r"|foot(?:er|$|[ _-])|nav(?:$|[ _-]|igation|bar|box)"
    r"|(?:^|[ _-])(?:ads?|likes?|next|prev|print)(?:$|[ _-])"
)
_NAMES_AT_EDGE = re.compile(
    r"author|byline|meta|copyright|hidden|also|credit|slid(?:e|er)|contact|date|time|tool|extra"
    r"|info|links?(?:$|[ _-])|aside|profile|bio|next|prev"
)
_COMMENTS = re.compile(
    r"(?:^| )(?:disqus|comments|respond|commentlist|dsq-\w+|(?:\w+[-_])?comments?[-_]?"
    r"(?:list|area|form|section|wrapper|thread|block|container|respond))(?:[-_ ]|$)"
)
_SIGN_UP = re.compile(r"newsletter|subscri|sign-?up|search|login|mc4wp|comment")
_TAGS = frozenset(("nav", "aside", "footer", "form", "menu"))
_ROLES_NAMES = "navigation complementary contentinfo search banner menu menubar toolbar"
_SUBSTANCE = frozenset(("table", "pre", "dl", "ol", "blockquote", "math"))
_ROLES = frozenset(_ROLES_NAMES.split())

_MANY_LINKS = 0.4
_SOME_LINKS = 0.25
_NEARLY_ALL_LINKS = 0.8
_MOST = 0.5
_FEW_CHARS = 100
_SEVERAL = 2
_BOX_CHARS = 30


def is_comments(element: HtmlElement) -> bool:
    """True if the element is named as readers' comments."""
    return _COMMENTS.search(id_and_classes(element)) is not None


def is_named(element: HtmlElement) -> bool:
    """True if the element's name, tag or role is typical of decoration."""
    return _has_role(element) or _has_any_name(element)


def is_inner_decoration(element: HtmlElement, measures: Measures) -> bool:
    """True if an element with content before and after it is decoration."""
    share = measures.share_of_links(element)
    if is_comments(element):
        return share > _MANY_LINKS / 2
    if (
        _SIGN_UP.search(id_and_classes(element)) is not None
        and element.find(".//input") is not None
    ):
        return True
    return share > _MANY_LINKS and _mostly(element, measures, _has_role_or_name)


def is_menu(element: HtmlElement, measures: Measures, *, is_at_edge: bool) -> bool:
    """True if the element is named as decoration and consists almost only of links."""
    least = _MANY_LINKS if is_at_edge else _NEARLY_ALL_LINKS
    share = measures.share_of_links(element)
    return share > least and _mostly(element, measures, _has_role_or_name)


def is_edge_decoration(element: HtmlElement, measures: Measures) -> bool:
    """True if an element before or after all content is decoration."""
    share = measures.share_of_links(element)
    if element.tag == "p":
        return share > _NEARLY_ALL_LINKS or is_named(element)
    if element.tag == "pre" or element.find(".//pre") is not None:
        return False
    if element.tag == "table" and element.find(".//th") is not None:
        return share > _NEARLY_ALL_LINKS or _has_name(element)
    if is_comments(element) or _mostly(element, measures, _has_any_name):
        return True
    has_use = share > 0 or element.find(".//input") is not None
    if has_use and _mostly(element, measures, _has_role):
        return True
    if share > _SOME_LINKS:
        return element.tag not in ("ul", "ol")
    is_picture = element.tag not in ("figure", "table") and element.find(".//img") is not None
    return is_picture and measures.total(element) < _FEW_CHARS


def is_section(element: HtmlElement, measures: Measures) -> bool:
    """True if an element of an article, apart from most of it, is a substantial part of it."""
    if is_edge_decoration(element, measures) or _are_teasers(element):
        return False
    if measures.total(element) >= _FEW_CHARS:
        return True
    return any(inner.tag in _SUBSTANCE for inner in element.iter())


def _are_teasers(element: HtmlElement) -> bool:
    """True for a row of other articles: headings that link to other pages."""
    num_linked = 0
    for heading in element.iter("h2", "h3", "h4", "h5"):
        links = [*heading.iter("a"), *heading.iterancestors("a")]
        num_linked += any(not (link.get("href") or "#").startswith("#") for link in links)
    return num_linked >= _SEVERAL


def is_sidebar_content(element: HtmlElement, measures: Measures) -> bool:
    """True if an element next to the content belongs to it: a table, or a box with a heading."""
    if measures.total(element) < _BOX_CHARS or measures.share_of_links(element) > _MANY_LINKS:
        return False
    if _has_name(element) or element.get("role") in _ROLES:
        return False
    if element.tag == "table":
        return element.find(".//th") is not None
    return element.tag == "aside" and element.find(".//h2") is not None


def _mostly(
    element: HtmlElement, measures: Measures, predicate: Callable[[HtmlElement], bool]
) -> bool:
    """True if the predicate holds for the element, or for a descendant with most of its text."""
    most = _MOST * measures.total(element)
    inner: HtmlElement | None = element
    while inner is not None:
        if predicate(inner):
            return True
        inner = next((child for child in inner if measures.total(child) > most), None)
    return False


def _has_role(element: HtmlElement) -> bool:
    return element.tag in _TAGS or element.get("role") in _ROLES


def _has_name(element: HtmlElement) -> bool:
    return _NAMES.search(id_and_classes(element)) is not None


def _has_any_name(element: HtmlElement) -> bool:
    named = id_and_classes(element)
    return _NAMES.search(named) is not None or _NAMES_AT_EDGE.search(named) is not None


def _has_role_or_name(element: HtmlElement) -> bool:
    return _has_role(element) or _has_name(element)
