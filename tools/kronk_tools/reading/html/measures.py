"""Amount of text in the elements of a page, and its share in links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import INVISIBLE_TAGS

if TYPE_CHECKING:
    from lxml.html import HtmlElement


@dataclass(frozen=True, slots=True)
class Measures:
    """Number of characters without whitespace, by element."""

    totals: dict[HtmlElement, int]
    of_links: dict[HtmlElement, int]
    """Characters in links and buttons."""

    def total(self, element: HtmlElement) -> int:
        """Number of characters in an element."""
        return self.totals.get(element, 0)

    def share_of_links(self, element: HtmlElement) -> float:
        """Share of an element's characters in links and buttons, 0 to 1."""
        total = self.totals.get(element, 0)
        return self.of_links.get(element, 0) / total if total else 0.0


def measure(root: HtmlElement) -> Measures:
    """Measure all elements, last to first, so that descendants come before their parent."""
    totals: dict[HtmlElement, int] = {}
    of_links: dict[HtmlElement, int] = {}
    for element in reversed(list(root.iter())):
        is_seen = isinstance(element.tag, str) and element.tag not in INVISIBLE_TAGS
        total = totals.get(element, 0) + _num_chars(element.text) if is_seen else 0
        links = total if element.tag in ("a", "button") else of_links.get(element, 0)
        totals[element], of_links[element] = total, links
        parent = element.getparent()
        if parent is not None:
            totals[parent] = totals.get(parent, 0) + total + _num_chars(element.tail)
            of_links[parent] = of_links.get(parent, 0) + (links if is_seen else 0)
    return Measures(totals, of_links)


def _num_chars(text: str | None) -> int:
    return len("".join(text.split())) if text else 0
