"""Images, videos, frames, drawings and formulas as inline Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lxml.html import fromstring

from kronk_tools.reading.markdown.elements import names, number

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-hi-res-src")
_LAZY_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
_PLACEHOLDER = re.compile(
    r"^data:|^about:|^$|(?:blank|spacer|placeholder|transparent|pixel|loading|lazy|1x1)[^/]*$",
    re.IGNORECASE,
)
_TINY = 3
"""Pixels; such images count visits or fill gaps."""
_TEX_IMAGE = re.compile(r"[ -](?:mwe-math|tex|latex|math)", re.IGNORECASE)
_MAX_DRAWING_CHARS = 500
_MAX_TITLE_CHARS = 300
_MAX_INNER_CHARS = 100_000

Resolve = Callable[[str], str]
"""The full address of a link; empty where it is none that can be followed."""


def image(element: HtmlElement, resolve: Resolve, *, is_markdown: bool, is_figure: bool) -> str:
    """An image with its alternative text and address; nothing for a decoration.

    Args:
        is_figure: whether it stands in a figure, so that it is part of the content without a text.
    """
    alt = label(element)
    tex = formula_of_image(element, alt)
    if tex:
        return tex
    if min(_size(element, "width"), _size(element, "height")) <= _TINY:
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
    for name in ("alt", "aria-label", "title"):
        words = " ".join((element.get(name) or "").split())
        if words:
            return words
    return ""


def _size(element: HtmlElement, name: str) -> int:
    return number(element.get(name), 1_000, lowest=0, highest=10_000)


def source(element: HtmlElement) -> str:
    """Where the image is, also where a script is to load it."""
    written = (element.get("src") or "").strip()
    if not _PLACEHOLDER.search(written):
        return written
    for name in _LAZY:
        lazy = (element.get(name) or "").strip()
        if lazy and not lazy.startswith(("data:", "about:")):
            return lazy
    holders = [element]
    # Older parsers put the image inside of the sources that stand before it.
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
    """A formula that is shown as an image, in TeX."""
    if not alt:
        return ""
    said = names(element)
    if (
        alt.startswith("{\\displaystyle")
        or "mwe-math" in said
        or ("\\" in alt and _TEX_IMAGE.search(said))
    ):
        return f"${_without_style(alt.strip('$ '))}$"
    return ""


def formula(element: HtmlElement) -> str:
    """A ``math`` element in TeX where the page has it, else as it is read."""
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
    """The words of an SVG drawing."""
    words = [" ".join(text.text_content().split()) for text in element.iter("text")]
    if not any(words) and element.get("role") == "img":
        title = element.find("title")
        words = [
            label(element) or (" ".join(title.text_content().split()) if title is not None else "")
        ]
    said = " ".join(filter(None, words))
    return said if len(said) <= _MAX_DRAWING_CHARS else said[: _MAX_DRAWING_CHARS - 1] + "…"


def inner_document(element: HtmlElement) -> HtmlElement | None:
    """The page that a frame has in itself."""
    written = element.get("srcdoc") if element.tag == "iframe" else None
    if not written or not written.strip() or len(written) > _MAX_INNER_CHARS:
        return None
    return fromstring(f"<div>{written}</div>")


def embedded(element: HtmlElement, resolve: Resolve, *, is_markdown: bool) -> str:
    """A frame, video, sound or object: what it is called, and its address."""
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
