"""Markers of list items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import effective_tag, number

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_ROMAN = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class ListMarkers:
    """Markers of a list's items, numbered as in a browser."""

    def __init__(self, element: HtmlElement, tag: str) -> None:
        self._is_ordered = tag == "ol"
        self._type = (element.get("type") or "1").strip()
        self._step = -1 if element.get("reversed") is not None else 1
        first = 1
        if self._step < 0:
            first = sum(1 for child in element if effective_tag(child) == "li")
        self._next = number(element.get("start"), first, lowest=-(10**6), highest=10**6)

    def next(self, item: HtmlElement) -> str:
        """Marker of the next item."""
        if not self._is_ordered:
            return "-"
        value = number(item.get("value"), self._next, lowest=-(10**6), highest=10**6)
        self._next = value + self._step
        return f"{_counted(value, self._type)}."


def _counted(value: int, type: str) -> str:
    if 1 <= value <= 26 and type in ("a", "A"):
        return chr(ord(type) + value - 1)
    if 1 <= value <= 39 and type in ("i", "I"):
        roman = ""
        for worth, sign in _ROMAN:
            roman += sign * (value // worth)
            value %= worth
        return roman if type == "i" else roman.upper()
    return str(value)
