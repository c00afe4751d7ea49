"""Images, videos, frames, drawings and formulas as inline Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lxml.html import fromstring

from kronk_tools.reading.markdown.elements import id_and_classes, number

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-hi-res-src")
_LAZY_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
_PLACEHOLDER = re.compile(
    r"^data:|^about:|^$|(?:blank|spacer|placeholder|transparent|pixel|loading|lazy|1x1)[^/]*$",
    re.IGNORECASE,
)
_TINY_PIXELS = 3
"""Pixels; smaller images are trackers or spacers."""
_TEX_IMAGE = re.compile(r"[ -](?:mwe-math|tex|latex|math)", re.IGNORECASE)
_MAX_DRAWING_CHARS = 500
_MAX_TITLE_CHARS = 300
_MAX_INNER_CHARS = 100_000

Resolve = Callable[[str], str]
"""Returns the absolute URL of a link; empty if it cannot be followed."""


def image(element: HtmlElement, resolve: Resolve, *, is_markdown: bool, is_figure: bool) -> str:
    """An image with its alternative text and URL; empty for decoration.

    Args:
        is_figure: True if it is in a figure, so that it is content even without a text.
    """
    alt = label(element)
    tex = formula_of_image(element, alt)
    if tex:
        return tex
    if min(_size(element, "width"), _size(element, "height")) <= _TINY_PIXELS:
        return ""
    if not is_markdown:
        return alt
    if not alt and element.get("alt") is not None and not is_figure:
        return ""
    address = resolve(source(element))
    if alt.count("[") != alt.count("]"):
        alt = alt.replace("[", "(").replace("]", ")")
    return f"![{alt}]({address})" if address or alt else ""


def label(element: HtmlElement) -> str:
    """The element's alternative text, label or title; may be empty."""
    for name in ("alt", "aria-label", "title"):
        words = " ".join((element.get(name) or "").split())
        if words:
            return words
    return ""


def _size(element: HtmlElement, name: str) -> int:
    return number(element.get(name), 1_000, lowest=0, highest=10_000)


def source(element: HtmlElement) -> str:
    """URL of an image, also if a script loads it later."""
    written = (element.get("src") or "").strip()
    if not _PLACEHOLDER.search(written):
        return written
    for name in _LAZY:
        lazy = (element.get(name) or "").strip()
        if lazy and not lazy.startswith(("data:", "about:")):
            return lazy
    holders = [element]
    # Older parsers nest the image in the sources before it.
    picture = next(element.iterancestors("picture"), None)
    if picture is not None:
        holders += picture.iter("source")
    for holder in holders:
        for name in _LAZY_SETS:
            first = (holder.get(name) or "").strip().split(",")[0].split()
            if first and not first[0].startswith("data:"):
                return str(first[0])
    return "" if written.startswith(("data:", "about:")) else written


def formula_of_image(element: HtmlElement, alt: str) -> str:
    """TeX of a formula that is shown as an image; empty if it is not one."""
    if not alt:
        return ""
    named = id_and_classes(element)
    if (
        alt.startswith("{\\displaystyle")
        or "mwe-math" in named
        or ("\\" in alt and _TEX_IMAGE.search(named))
    ):
        return f"${_without_style(alt.strip('$ '))}$"
    return ""


def formula(element: HtmlElement) -> str:
    """A ``math`` element as TeX if the page contains it, else linearized."""
    for note in element.iter("annotation", "{*}annotation"):
        if "tex" in (note.get("encoding") or "").lower():
            tex = " ".join(note.text_content().split())
            if tex:
                return f"${_without_style(tex)}$"
    alternative = " ".join((element.get("alttext") or "").split())
    if alternative:
        return f"${_without_style(alternative)}$"
    for note in list(element.iter("annotation", "annotation-xml")):
        note.drop_tree()
    return _linear(element, depth=0)


def _without_style(tex: str) -> str:
    match = re.fullmatch(r"\{\\(?:display|text)style\s*(.*)\}", tex)
    return match[1] if match else tex


def _linear(element: HtmlElement, *, depth: int) -> str:
    """Presentation MathML on one line: fractions, roots and exponents keep their meaning."""
    parts = [_linear(child, depth=depth + 1) for child in element] if depth < 40 else []
    tag = element.tag if isinstance(element.tag, str) else ""
    match tag.rpartition(":")[2], parts:
        case "mfrac", [above, below]:
            return f"{_grouped(above)}/{_grouped(below)}"
        case "msqrt", _:
            return f"√({''.join(parts)})"
        case "mroot", [radicand, degree]:
            return f"√[{degree}]({radicand})"
        case (("msup" | "mover"), [base, exponent]):
            return f"{base}^{_grouped(exponent)}"
        case (("msub" | "munder"), [base, index]):
            return f"{base}_{_grouped(index)}"
        case (("msubsup" | "munderover"), [base, index, exponent]):
            return f"{base}_{_grouped(index)}^{_grouped(exponent)}"
        case "mo", _:
            sign = (element.text or "").strip()
            return f" {sign} " if sign in "=+−-<>≤≥≈×⋅·±→" and sign else sign
    own = " ".join((element.text or "").split()) if tag != "semantics" else ""
    return (own + "".join(parts)) if parts else " ".join(element.text_content().split())


def _grouped(part: str) -> str:
    part = part.strip()
    return part if len(part) == 1 or part.isalnum() else f"({part})"


def drawing(element: HtmlElement) -> str:
    """Text of an SVG drawing."""
    words = [" ".join(text.text_content().split()) for text in element.iter("text")]
    if not any(words) and element.get("role") == "img":
        title = element.find("title")
        words = [
            label(element) or (" ".join(title.text_content().split()) if title is not None else "")
        ]
    text = " ".join(filter(None, words))
    return text if len(text) <= _MAX_DRAWING_CHARS else text[: _MAX_DRAWING_CHARS - 1] + "…"


def inner_document(element: HtmlElement) -> HtmlElement | None:
    """The document in a frame's ``srcdoc``; None without one."""
    written = element.get("srcdoc") if element.tag == "iframe" else None
    if not written or not written.strip() or len(written) > _MAX_INNER_CHARS:
        return None
    return fromstring(f"<div>{written}</div>")


def embedded(element: HtmlElement, resolve: Resolve, *, is_markdown: bool) -> str:
    """A frame, video, audio or object: its label and URL."""
    title = label(element) or " ".join((element.get("name") or "").split())
    address = ""
    for written in (element.get(name) for name in ("src", "data", *_LAZY)):
        address = address or resolve((written or "").strip())
    if not address:
        for inner in element.iter("source"):
            address = address or resolve((inner.get("src") or "").strip())
    if not address:
        return ""
    what = {"video": "Video", "audio": "Sound", "iframe": "Frame", "frame": "Frame"}
    named = what.get(str(element.tag), "Object")
    words = f"{named}: {title[:_MAX_TITLE_CHARS]}" if title else named
    return f"[{words}]({address})" if is_markdown else f"{words} ({address})"
