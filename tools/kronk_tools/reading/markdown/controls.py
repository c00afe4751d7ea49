"""Visible text of form controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_MAX_OPTIONS = 40
_BUTTONS = ("submit", "button", "reset")


def input_text(element: HtmlElement) -> str:
    """Text of an ``input``: its check mark, value or placeholder."""
    sort = (element.get("type") or "text").strip().lower()
    value = _words(element.get("value"))
    match sort:
        case "checkbox":
            return "[x]" if element.get("checked") is not None else "[ ]"
        case "radio":
            return "(x)" if element.get("checked") is not None else "( )"
        case "hidden" | "password" | "file":
            return ""
        case "image":
            return _words(element.get("alt")) or value
    if sort in _BUTTONS:
        return value
    return value or _words(element.get("placeholder"))


def select_text(element: HtmlElement) -> str:
    """Text of a ``select``: its options, with the selected ones marked."""
    found = []
    for option in element.iter("option", "optgroup"):
        if option.tag == "optgroup":
            group = _words(option.get("label"))
            if group:
                found.append(f"{group}:")
            continue
        words = _words(option.get("label")) or _words(option.text_content())
        if words:
            is_chosen = option.get("selected") is not None
            found.append(f"{words} (selected)" if is_chosen else words)
    shown = found[:_MAX_OPTIONS]
    if len(found) > len(shown):
        shown.append(f"… and {len(found) - len(shown)} more")
    return ", ".join(shown).replace(":, ", ": ")


def meter_text(element: HtmlElement) -> str:
    """Text of a ``meter`` or ``progress``, or its value."""
    words = _words(element.text_content())
    if words:
        return words
    value, most = _words(element.get("value")), _words(element.get("max"))
    return f"{value} of {most}" if value and most else value


def _words(text: str | None) -> str:
    return " ".join((text or "").split())
