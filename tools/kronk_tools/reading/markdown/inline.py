"""Inline text as Markdown: words, links, emphasis and small images."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from kronk_tools.reading.markdown import controls, media
from kronk_tools.reading.markdown.elements import (
    BLOCKS,
    HEADINGS,
    INVISIBLE_TAGS,
    effective_tag,
    id_and_classes,
)

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_BLANKS = re.compile(r"[ \t\n\r\f\xa0]+")
_AROUND_BREAK = re.compile(r" *\n *")
_SEVERAL_BREAKS = re.compile(r"\n{3,}")
_SEVERAL_BLANKS = re.compile(r" {2,}")
_MAX_DEPTH = 100
_MAX_LINK_CHARS = 2_000
_MAX_NAME_CHARS = 200

_EMPHASIS = {
    "b": "**",
    "strong": "**",
    "i": "*",
    "em": "*",
    "dfn": "*",
    "var": "*",
    "del": "~~",
    "s": "~~",
    "strike": "~~",
}
_CODE = frozenset(("code", "kbd", "samp", "tt"))
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_SUPER_ONLY = re.compile(r"[0-9+\-−=()ni]+")
_SUB_ONLY = re.compile(r"[0-9+\-−=()]+")
_ORDINAL = re.compile(r"(?:st|nd|rd|th|e|er|re|o|a|ª|º|tm|®|™|\[.*\])", re.IGNORECASE | re.DOTALL)
_COPIES = re.compile(r"\bcopy\b|\bcopied\b|clipboard|^copy|[-_]copy")
"""Copy buttons of code blocks, which are omitted."""
_EDITS = re.compile(r" (?:mw-editsection|edit-?section|edit-this-page) ")
"""Edit links, which are omitted."""
_ANCHOR_SIGNS = re.compile(r"[\W_]*")
_NOT_FOLLOWED = ("javascript:", "data:", "vbscript:", "blob:", "about:", "file:")
_TEX_SCRIPTS = ("math/tex", "math/tex; mode=display", "math/asciimath")

MARK_START, MARK_END = "\ufdd0", "\ufdd1"
"""Delimiters around the name of an anchor in inline text; they never occur in parsed text."""


def collapse_whitespace(text: str) -> str:
    """Collapse whitespace as a browser does."""
    return _BLANKS.sub(" ", text)


def tidy(text: str) -> str:
    """Trim lines, collapse spaces, and allow one empty line at most."""
    text = _SEVERAL_BLANKS.sub(" ", text)
    if "\n" in text:
        text = _SEVERAL_BREAKS.sub("\n\n", _AROUND_BREAK.sub("\n", text))
    return text.strip()


def anchor_mark(name: str | None) -> str:
    """Inline mark for an anchor; empty without a name, or if it is too long."""
    return f"{MARK_START}{name}{MARK_END}" if name and len(name) <= _MAX_NAME_CHARS else ""


def append(pieces: list[str], words: str) -> None:
    """Add inline Markdown to a line, merging adjacent bold texts."""
    if words.startswith("**") and pieces and pieces[-1].endswith("**"):
        pieces[-1], words = pieces[-1][:-2], words[2:]
    if words:
        pieces.append(words)


class InlineWriter:
    """Writes the content of elements as inline Markdown, or without markup.

    Args:
        base: base URL of relative links.
        skip: elements to omit.
        is_markdown: True to write links and emphasis as Markdown.
    """

    def __init__(self, base: str, skip: frozenset[HtmlElement], *, is_markdown: bool) -> None:
        self._base = base
        self._skip = skip
        self._is_markdown = is_markdown
        self._seen_abbreviations: set[str] = set()

    def content(self, element: HtmlElement, *, within: str = "", depth: int = 0) -> str:
        """Write the content of an element.

        Args:
            within: the enclosing tags and, as ``<**>``, the enclosing emphasis, which are not
                repeated.
        """
        if depth > _MAX_DEPTH:
            return collapse_whitespace(element.text_content())
        pieces = [collapse_whitespace(element.text)] if element.text else []
        for child in element:
            append(pieces, self.element(child, within=within, depth=depth))
            if child.tail:
                pieces.append(collapse_whitespace(child.tail))
        return "".join(pieces)

    def element(self, element: HtmlElement, *, within: str = "", depth: int = 0) -> str:
        """Write an element as part of a line; of a block, its content."""
        if element in self._skip or _EDITS.search(id_and_classes(element)) is not None:
            return ""
        tag = effective_tag(element)
        if tag == "script":
            return _tex_of_script(element)
        name = element.get("id") or (element.get("name") if tag == "a" else None)
        words = self._written(element, tag, within, depth)
        # The mark follows the space, so that spaces on both sides of it are merged.
        return (
            f" {anchor_mark(name)}{words[1:]}"
            if words.startswith(" ")
            else anchor_mark(name) + words
        )

    def link(self, words: str, element: HtmlElement, *, within: str = "") -> str:
        """Write text as a link to the element's target, or as it is without a target."""
        href = (element.get("href") or "").strip()
        target = "" if href.startswith("#") else self.resolve(href)
        bare = words.strip()
        if "a " in within or not target or not self._is_markdown or not bare:
            return words
        if _without_marks(bare) in (target, href):
            return words.replace(href, target) if _without_marks(bare) == href else words
        left, right = _blanks_around(words)
        return f"{left}[{bare.replace(chr(10), ' ')}]({target}){right}"

    def resolve(self, address: str) -> str:
        """Absolute URL; empty for none, and for URLs of data or scripts."""
        address = address.strip()
        if not address or address.lower().startswith(_NOT_FOLLOWED):
            return ""
        try:
            joined = urljoin(self._base, address)
        except ValueError:  # an invalid port or address
            return ""
        if len(joined) > _MAX_LINK_CHARS:
            return ""
        joined = "".join(joined.split("\n")).replace(" ", "%20")
        if joined.count("(") != joined.count(")"):  # an unbalanced one would end the link
            joined = joined.replace("(", "%28").replace(")", "%29")
        return joined

    def _written(self, element: HtmlElement, tag: str, within: str, depth: int) -> str:
        if tag in INVISIBLE_TAGS:
            return ""
        if tag in BLOCKS:
            # A block in inline context, such as in a heading: separated by spaces.
            return f" {self.content(element, within=within, depth=depth + 1)} "
        writer = _WRITERS.get(tag)
        if writer is not None:
            return writer(self, element)
        inner_within = f"{within} a " if tag == "a" else within
        if tag in _CODE:
            return self._code(element, within)
        sign = _EMPHASIS.get(tag, "")
        if sign and f"<{sign}>" not in within:
            words = self.content(element, within=f"{within}<{sign}>", depth=depth + 1)
            return _enclosed(words, sign) if self._is_markdown else words
        words = self.content(element, within=inner_within, depth=depth + 1)
        match tag:
            case "a":
                return self._anchor(element, words, within)
            case "sup":
                return _raised(words, _SUPER_ONLY, _SUPERSCRIPTS, "^")
            case "sub":
                return _raised(words, _SUB_ONLY, _SUBSCRIPTS, "_")
            case "q":
                return f"“{words.strip()}”"
            case "abbr" | "acronym":
                return self._abbreviation(element, words)
            case "time" | "data":
                return words if words.strip() else (element.get("datetime") or "")
            case "rt":
                return f"({words.strip()})"
            case "button" if _COPIES.search(
                f"{id_and_classes(element)}{media.label(element)}{words}".lower()
            ):
                return ""
            case "label" | "button" | "output" | "option":
                return f" {words} "
        return words

    def _anchor(self, element: HtmlElement, words: str, within: str) -> str:
        href = (element.get("href") or "").strip()
        is_sign = (
            href.startswith("#") and _ANCHOR_SIGNS.fullmatch(_without_marks(words)) is not None
        )
        if is_sign and any(tag in within for tag in (*HEADINGS, "dt")):
            return _marks_of(words)  # a permalink sign of the heading itself
        if not words.strip():
            words = media.label(element)
        return self.link(words, element, within=within)

    def _code(self, element: HtmlElement, within: str) -> str:
        words = collapse_whitespace(element.text_content())
        bare = words.strip()
        has_link = "`" not in bare and element.find(".//a") is not None
        if not bare or not self._is_markdown or "`" in within or has_link:
            return self.content(element, within=within) if has_link else words
        left, right = _blanks_around(words)
        fence = "`" * (_longest_run(bare) + 1)
        pad = " " if bare.startswith("`") or bare.endswith("`") else ""
        return f"{left}{fence}{pad}{bare}{pad}{fence}{right}"

    def _abbreviation(self, element: HtmlElement, words: str) -> str:
        title = tidy(collapse_whitespace(element.get("title") or ""))
        if not title or title in self._seen_abbreviations or title.lower() == words.strip().lower():
            return words
        self._seen_abbreviations.add(title)
        return f"{words.rstrip()} ({title})"

    def _image(self, element: HtmlElement) -> str:
        is_figure = next(element.iterancestors("figure"), None) is not None
        return media.image(
            element, self.resolve, is_markdown=self._is_markdown, is_figure=is_figure
        )

    def _embedded(self, element: HtmlElement) -> str:
        inner = media.inner_document(element)
        if inner is not None:
            return f" {self.content(inner, depth=_MAX_DEPTH // 2)} "
        written = media.embedded(element, self.resolve, is_markdown=self._is_markdown)
        # The content of a video is a fallback for browsers without support.
        fallback = tidy(self.content(element)) if element.tag == "object" or not written else ""
        return f" {written} {fallback} "

    def _area(self, element: HtmlElement) -> str:
        return f" {self.link(media.label(element), element)} "


_WRITERS: dict[str, Callable[[InlineWriter, HtmlElement], str]] = {
    "br": lambda _, __: "\n",
    "wbr": lambda _, __: "",
    "img": InlineWriter._image,
    "amp-img": InlineWriter._image,
    "image": InlineWriter._image,
    "math": lambda _, element: media.formula(element),
    "svg": lambda _, element: f" {media.drawing(element)} ",
    "canvas": lambda _, __: "",
    "iframe": InlineWriter._embedded,
    "frame": InlineWriter._embedded,
    "video": InlineWriter._embedded,
    "audio": InlineWriter._embedded,
    "object": InlineWriter._embedded,
    "embed": InlineWriter._embedded,
    "area": InlineWriter._area,
    "input": lambda _, element: f" {controls.input_text(element)} ",
    "select": lambda _, element: f" {controls.select_text(element)} ",
    "textarea": lambda _, element: f" {element.text_content()} ",
    "meter": lambda _, element: controls.meter_text(element),
    "progress": lambda _, element: controls.meter_text(element),
}


def _tex_of_script(element: HtmlElement) -> str:
    if element.tag == "script" and (element.get("type") or "").lower() in _TEX_SCRIPTS:
        return f"${collapse_whitespace(element.text or '').strip()}$"
    return ""


def _enclosed(words: str, sign: str) -> str:
    bare = words.strip()
    if not _without_marks(bare):
        return words
    left, right = _blanks_around(words)
    return f"{left}{sign}{bare}{sign}{right}"


def _blanks_around(words: str) -> tuple[str, str]:
    bare = words.strip()
    start = words.index(bare) if bare else len(words)
    return words[:start], words[start + len(bare) :]


def _raised(words: str, known: re.Pattern[str], signs: dict[int, int], sign: str) -> str:
    bare = words.strip()
    plain = _without_marks(bare)
    if not plain or "](" in plain or _ORDINAL.fullmatch(plain):
        return words
    if known.fullmatch(plain):
        return bare.replace(plain, plain.translate(signs))
    return f"{sign}({bare})" if len(plain) > 1 else f"{sign}{bare}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _marks_of(text: str) -> str:
    return "".join(re.findall(f"{MARK_START}[^{MARK_END}]*{MARK_END}", text))


def _without_marks(text: str) -> str:
    return re.sub(f"{MARK_START}[^{MARK_END}]*{MARK_END}", "", text) if MARK_START in text else text
