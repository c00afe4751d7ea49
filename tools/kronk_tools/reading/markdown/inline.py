"""Text that flows: words, links, emphasis and small images, as inline Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from kronk_tools.reading.markdown import controls, media
from kronk_tools.reading.markdown.elements import BLOCKS, HEADINGS, UNSEEN, kind, names

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
"""Buttons beside code, of which a reader has no use."""
_EDITS = re.compile(r" (?:mw-editsection|edit-?section|edit-this-page) ")
"""Links to change the page."""
_ANCHOR_SIGNS = re.compile(r"[\W_]*")
_NOT_FOLLOWED = ("javascript:", "data:", "vbscript:", "blob:", "about:", "file:")
_TEX_SCRIPTS = ("math/tex", "math/tex; mode=display", "math/asciimath")

MARK_START, MARK_END = "\ufdd0", "\ufdd1"
"""Around the name of a place that addresses lead to; never in a text that was parsed."""


def collapsed(text: str) -> str:
    """Blanks as a browser shows them."""
    return _BLANKS.sub(" ", text)


def tidy(text: str) -> str:
    """Without blanks at the ends of lines, with one between words, and one empty line at most."""
    text = _SEVERAL_BLANKS.sub(" ", text)
    if "\n" in text:
        text = _SEVERAL_BREAKS.sub("\n\n", _AROUND_BREAK.sub("\n", text))
    return text.strip()


def mark(name: str | None) -> str:
    return f"{MARK_START}{name}{MARK_END}" if name and len(name) <= _MAX_NAME_CHARS else ""


def append(pieces: list[str], words: str) -> None:
    """Add inline Markdown to a line: two bold words side by side are one."""
    if words.startswith("**") and pieces and pieces[-1].endswith("**"):
        pieces[-1], words = pieces[-1][:-2], words[2:]
    if words:
        pieces.append(words)


class InlineWriter:
    """Writes what is inside of elements as inline Markdown, or without markup."""

    def __init__(self, base: str, skip: frozenset[HtmlElement], *, is_markdown: bool) -> None:
        self._base = base
        self._skip = skip
        self._is_markdown = is_markdown
        self._explained: set[str] = set()

    def inside(self, element: HtmlElement, *, within: str = "", depth: int = 0) -> str:
        """What is in the element.

        Args:
            within: the tags around and, as ``<**>``, the emphasis, which are not repeated.
        """
        if depth > _MAX_DEPTH:
            return collapsed(element.text_content())
        pieces = [collapsed(element.text)] if element.text else []
        for child in element:
            append(pieces, self.element(child, within=within, depth=depth))
            if child.tail:
                pieces.append(collapsed(child.tail))
        return "".join(pieces)

    def element(self, element: HtmlElement, *, within: str = "", depth: int = 0) -> str:
        """The element as part of a line; what is in it if it is a block."""
        if element in self._skip or _EDITS.search(names(element)) is not None:
            return ""
        tag = kind(element)
        if tag == "script":
            return _tex_of_script(element)
        name = element.get("id") or (element.get("name") if tag == "a" else None)
        words = self._written(element, tag, within, depth)
        # The mark comes after the blank, so that blanks on both sides of it are one.
        return f" {mark(name)}{words[1:]}" if words.startswith(" ") else mark(name) + words

    def link(self, words: str, element: HtmlElement, *, within: str = "") -> str:
        """Words as a link to where the element leads, or as they are if it leads nowhere else."""
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
        """The full address; empty for none, and for one that only carries data or a script."""
        address = address.strip()
        if not address or address.lower().startswith(_NOT_FOLLOWED):
            return ""
        try:
            joined = urljoin(self._base, address)
        except ValueError:  # an impossible port or address
            return ""
        if len(joined) > _MAX_LINK_CHARS:
            return ""
        joined = "".join(joined.split("\n")).replace(" ", "%20")
        if joined.count("(") != joined.count(")"):  # which would end the link
            joined = joined.replace("(", "%28").replace(")", "%29")
        return joined

    def _written(self, element: HtmlElement, tag: str, within: str, depth: int) -> str:
        if tag in UNSEEN:
            return ""
        if tag in BLOCKS:
            # A block where only a line can stand, as in a cell of a heading: apart from the rest.
            return f" {self.inside(element, within=within, depth=depth + 1)} "
        special = _SPECIAL.get(tag)
        if special is not None:
            return special(self, element)
        inner_within = f"{within} a " if tag == "a" else within
        if tag in _CODE:
            return self._code(element, within)
        sign = _EMPHASIS.get(tag, "")
        if sign and f"<{sign}>" not in within:
            words = self.inside(element, within=f"{within}<{sign}>", depth=depth + 1)
            return _enclosed(words, sign) if self._is_markdown else words
        words = self.inside(element, within=inner_within, depth=depth + 1)
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
                return self._explained_once(element, words)
            case "time" | "data":
                return words if words.strip() else (element.get("datetime") or "")
            case "rt":
                return f"({words.strip()})"
            case "button" if _COPIES.search(
                f"{names(element)}{media.label(element)}{words}".lower()
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
            return _marks_of(words)  # a pilcrow that leads to the heading itself
        if not words.strip():
            words = media.label(element)
        return self.link(words, element, within=within)

    def _code(self, element: HtmlElement, within: str) -> str:
        words = collapsed(element.text_content())
        bare = words.strip()
        has_link = "`" not in bare and element.find(".//a") is not None
        if not bare or not self._is_markdown or "`" in within or has_link:
            return self.inside(element, within=within) if has_link else words
        left, right = _blanks_around(words)
        fence = "`" * (_longest_run(bare) + 1)
        pad = " " if bare.startswith("`") or bare.endswith("`") else ""
        return f"{left}{fence}{pad}{bare}{pad}{fence}{right}"

    def _explained_once(self, element: HtmlElement, words: str) -> str:
        title = tidy(collapsed(element.get("title") or ""))
        if not title or title in self._explained or title.lower() == words.strip().lower():
            return words
        self._explained.add(title)
        return f"{words.rstrip()} ({title})"

    def _image(self, element: HtmlElement) -> str:
        is_figure = next(element.iterancestors("figure"), None) is not None
        return media.image(
            element, self.resolve, is_markdown=self._is_markdown, is_figure=is_figure
        )

    def _embedded(self, element: HtmlElement) -> str:
        inner = media.inner_document(element)
        if inner is not None:
            return f" {self.inside(inner, depth=_MAX_DEPTH // 2)} "
        written = media.embedded(element, self.resolve, is_markdown=self._is_markdown)
        # What is in a video is for browsers that show none.
        fallback = tidy(self.inside(element)) if element.tag == "object" or not written else ""
        return f" {written} {fallback} "

    def _area(self, element: HtmlElement) -> str:
        return f" {self.link(media.label(element), element)} "


_SPECIAL: dict[str, Callable[[InlineWriter, HtmlElement], str]] = {
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
    "input": lambda _, element: f" {controls.entry(element)} ",
    "select": lambda _, element: f" {controls.options(element)} ",
    "textarea": lambda _, element: f" {element.text_content()} ",
    "meter": lambda _, element: controls.measure(element),
    "progress": lambda _, element: controls.measure(element),
}


def _tex_of_script(element: HtmlElement) -> str:
    if element.tag == "script" and (element.get("type") or "").lower() in _TEX_SCRIPTS:
        return f"${collapsed(element.text or '').strip()}$"
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
