"""Removes invisible content of a page, in which prompt injections may be hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kronk_tools.reading.html.measures import Measures, measure
from kronk_tools.reading.markdown.elements import id_and_classes

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_DECLARATION = re.compile(r"([a-z-]+)\s*:\s*([^;]+)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_VISIBILITY = re.compile(
    r"display|visib|opacity|font|zoom|color|width|height|clip|indent|left|top|right|bottom|inset"
    r"|margin|transform"
)
"""Properties that can hide or show an element."""
_DISPLAY = re.compile(r"display|visibility|opacity")
_SIMPLE = re.compile(r"([a-z][a-z0-9-]*)?(?:([.#])([A-Za-z_-][\w-]*))?")
_LENGTH = re.compile(r"(-?\d*\.?\d+)(px|em|rem|vw|vh|pt|%|ex|ch|in|cm|mm)?")
_MOVED = re.compile(r"(?:translate[xy3d]*|scale[xy]?)\(([^)]*)\)")
_FAR_AWAY = {"px": -500.0, "pt": -500.0, "%": -100.0, "": -500.0}
_FAR_IN_FONTS = -40.0
_MAX_STYLE_CHARS = 200_000
_MAX_RULES = 5_000
_MOST = 0.5
"""A rule that hides more of a page than this is undone by a script when the page has loaded."""
_MAX_SHORT_CHARS = 3
_READ_ALOUD = re.compile(
    r" (?:sr-only|visually-?hidden|screen-reader-text|screen-reader-only|visuallyhidden|offscreen"
    r"|u-hidden-visually|a11y-hidden|hidden-visually|cdk-visually-hidden) "
)


def remove_hidden(tree: HtmlElement) -> None:
    """Remove elements hidden by attributes, styles, or rules of the page's own style sheets."""
    openable = _openable_ids(tree)
    rules = _hiding_rules(tree)
    measures = measure(tree)
    most = _MOST * measures.total(tree)
    for element in list(tree.iter()):
        if not isinstance(element.tag, str) or element.tag in ("html", "body", "head", "link"):
            continue
        if element.getparent() is None or not _is_hidden(element, rules, measures):
            continue
        if element.get("role") == "tabpanel" or element.get("id") in openable:
            continue
        if most and measures.total(element) > most:
            continue
        element.drop_tree()


def _is_hidden(element: HtmlElement, rules: _Rules, measures: Measures) -> bool:
    hidden = element.get("hidden")
    if hidden is not None and hidden.strip().lower() != "until-found":
        return True
    if element.get("popover") is not None:
        return True
    style = element.get("style")
    if style is not None and _hides(style):
        return True
    if element.get("aria-hidden") == "true" and _is_silent(element):
        return True
    if element.get("class") is not None and _is_for_screen_readers(element, measures):
        return True
    return rules.hide(element)


def _hides(style: str) -> bool:
    found = {
        name: value.strip()
        for name, value in _DECLARATION.findall(style.lower().replace("!important", ""))
    }
    if found.get("display") == "none" or found.get("visibility") in ("hidden", "collapse"):
        return True
    if found.get("content-visibility") == "hidden":
        return True
    if any(_is_zero(found.get(name)) for name in ("opacity", "font-size", "zoom")):
        return True
    if _is_invisible_colour(found):
        return True
    if found.get("overflow") in ("hidden", "clip") and _is_cut_away(found):
        return True
    if _is_clipped(found):
        return True
    return _is_moved_away(found)


def _is_zero(value: str | None) -> bool:
    if value is None:
        return False
    match = _LENGTH.match(value)
    if match is None or (match[2] == "%" and float(match[1]) != 0):
        return False
    return (
        float(match[1]) < 0.02
        if not match[2]
        else float(match[1]) < 1.01 and match[2] in ("px", "pt")
    )


def _is_invisible_colour(found: dict[str, str]) -> bool:
    colour = found.get("color", "").replace(" ", "")
    if not colour:
        return False
    if colour == "transparent" or re.fullmatch(
        r"rgba?\(.*,0(?:\.0+)?\)|#[0-9a-f]{3}0|#[0-9a-f]{6}00", colour
    ):
        return "background-clip" not in found and "-webkit-background-clip" not in found
    behind = found.get("background-color") or found.get("background") or ""
    return _plain_colour(colour) == _plain_colour(behind.replace(" ", ""))


def _plain_colour(colour: str) -> str:
    colour = {"white": "#ffffff", "black": "#000000"}.get(colour, colour)
    match = re.fullmatch(r"#([0-9a-f])([0-9a-f])([0-9a-f])", colour)
    if match is not None:
        return "#" + "".join(2 * digit for digit in match.groups())
    match = re.fullmatch(r"rgb\((\d+),(\d+),(\d+)\)", colour)
    if match is not None:
        return "#" + "".join(f"{int(part):02x}" for part in match.groups())
    return colour


def _is_cut_away(found: dict[str, str]) -> bool:
    return any(
        _is_zero(found.get(name)) or found.get(name) in ("0", "1px")
        for name in ("width", "height", "max-height", "max-width")
    )


def _is_clipped(found: dict[str, str]) -> bool:
    clip = found.get("clip", "").replace(" ", "")
    if clip and re.fullmatch(r"rect\((?:[01](?:px)?,?){4}\)", clip):
        return True
    path = found.get("clip-path", "").replace(" ", "")
    return bool(re.match(r"inset\((?:50|[6-9]\d|100)%", path)) or path.startswith("circle(0")


def _is_moved_away(found: dict[str, str]) -> bool:
    if _is_far(found.get("text-indent")):
        return True
    sides = ("left", "top", "right", "bottom", "inset-inline-start", "inset")
    if found.get("position") in ("absolute", "fixed", "relative") and any(
        _is_far(found.get(side)) for side in sides
    ):
        return True
    if any(_is_far(found.get(f"margin-{side}")) for side in ("left", "top")):
        return True
    for match in _MOVED.finditer(found.get("transform", "")):
        if match[0].startswith("scale"):
            if _is_zero(match[1].split(",")[0].strip()):
                return True
        elif any(_is_far(part.strip(), least=-900.0) for part in match[1].split(",")):
            return True
    return False


def _is_far(value: str | None, least: float = -500.0) -> bool:
    match = _LENGTH.match(value or "")
    if match is None:
        return False
    unit = match[2] or ""
    bound = min(_FAR_AWAY.get(unit, _FAR_IN_FONTS), least if unit in ("px", "") else 0.0)
    return float(match[1]) <= bound


def _is_silent(element: HtmlElement) -> bool:
    """True for icons, and for formulas that are on the page a second time."""
    if element.tag == "img" or element.find(".//img") is not None:
        return False
    if " katex-html " in id_and_classes(element) or element.tag in ("i", "svg"):
        return True
    words = element.text_content().strip()
    return len(words) <= _MAX_SHORT_CHARS and not any(sign.isalnum() for sign in words)


def _is_for_screen_readers(element: HtmlElement, measures: Measures) -> bool:
    """True for text that replaces an icon next to other text, which it repeats or introduces."""
    if _READ_ALOUD.search(id_and_classes(element)) is None:
        return False
    parent = element.getparent()
    is_alone = measures.total(parent) == measures.total(element)
    return not is_alone or parent.tag in ("body", "header", "nav")


def _openable_ids(tree: HtmlElement) -> set[str]:
    """Ids of parts that a user can open: tab panels and collapsible sections."""
    openable: set[str] = set()
    for control in tree.xpath("//*[@aria-controls or @data-target or @data-bs-target]"):
        for name in ("aria-controls", "data-target", "data-bs-target"):
            openable.update(part.lstrip("#") for part in (control.get(name) or "").split())
    return openable


class _Rules:
    """Simple selectors (one tag, class or id) that the page's own styles hide."""

    def __init__(self, selectors: set[tuple[str, str, str]]) -> None:
        self._tags = {tag for tag, sign, _ in selectors if not sign}
        self._classes = {(tag, name) for tag, sign, name in selectors if sign == "."}
        self._ids = {(tag, name) for tag, sign, name in selectors if sign == "#"}

    def hide(self, element: HtmlElement) -> bool:
        """True if one of the selectors matches the element."""
        if not (self._tags or self._classes or self._ids):
            return False
        tag = element.tag
        if tag in self._tags:
            return True
        name = element.get("id")
        if name is not None and not self._ids.isdisjoint({("", name), (tag, name)}):
            return True
        if self._classes:
            for name in (element.get("class") or "").split():
                if ("", name) in self._classes or (tag, name) in self._classes:
                    return True
        return False


def _hiding_rules(tree: HtmlElement) -> _Rules:
    """Collect rules that apply to every screen; ``@media`` blocks are ignored."""
    hidden: set[tuple[str, str, str]] = set()
    for style in tree.iter("style"):
        media = (style.get("media") or "all").lower()
        text = style.text or ""
        if media not in ("all", "screen", "") or len(text) > _MAX_STYLE_CHARS:
            continue
        text = _without_nested(_COMMENT.sub("", text))
        for rule in text.split("}")[:_MAX_RULES]:
            selectors, _, declarations = rule.partition("{")
            changes = _VISIBILITY.search(declarations) is not None
            is_hiding = changes and _hides(declarations)
            for selector in selectors.split(",") if changes else ():
                simple = _SIMPLE.fullmatch(selector.strip())
                if simple is None or not selector.strip():
                    continue
                key = (simple[1] or "", simple[2] or "", simple[3] or "")
                if is_hiding:
                    hidden.add(key)
                elif _DISPLAY.search(declarations) is not None:
                    hidden.discard(key)
    return _Rules(hidden)


def _without_nested(text: str) -> str:
    """Remove at-rules that contain other rules."""
    pieces, depth, start = [], 0, 0
    is_at = False
    position = 0
    for match in re.finditer(r"[{}]|@[a-z-]+", text):
        sign = match[0]
        if sign[0] == "@" and depth == 0 and not is_at:
            pieces.append(text[start : match.start()])
            is_at, start = True, match.start()
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth = max(depth - 1, 0)
            if depth == 0 and is_at:
                is_at, start = False, match.end()
        position = match.end()
    if not is_at:
        pieces.append(text[start:] if position else text)
    return "".join(pieces)
