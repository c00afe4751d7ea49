"""Detection of code in the many forms that pages use, its lines and its language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import (
    BLOCKS,
    INVISIBLE_TAGS,
    PREFORMATTED,
    effective_tag,
    id_and_classes,
)

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_CODE_NAME = re.compile(
    r"(?:^|[ _-])(?:code|codehilite|highlight|highlighttable|highlighter|rouge|hljs|snippet|source"
    r"|sourcecode|listing|blob|gist|terminal|console|shell|syntaxhighlighter|crayon|prism|pygments)"
    r"(?:$|[ _-])|codeblock|js-file-line|highlighttable|hljs-ln|rouge-table|crayon-table"
    r"|blob-wrapper|codemirror|cm-content|ace_text-layer|view-lines"
)
_BOX_NAME = re.compile(
    r" (?:code|codeblock|code-block|source-?code|listing|terminal|console|snippet|shell) "
)
"""Boxes of code whose lines end in ``br``."""
_MONOSPACE = re.compile(r"font(?:-family)?\s*:[^;]*\b(?:monospace|courier|consolas)")
_IN_A_LINE = frozenset(("a", "b", "br", "code", "em", "font", "i", "span", "strong", "tt", "wbr"))
_NUMBERS_NAME = re.compile(
    r"(?:^|[ _-])(?:lineno|linenos|linenodiv|linenumber|line-?numbers?|line-num|lineno[sr]?|gutter"
    r"|blob-num|ln-num|lnt|ln|hljs-ln-numbers|rouge-gutter|crayon-nums?|lines?-no)(?:$|[ _-])"
)
_LINE_NAME = re.compile(r"(?:^|[ _-])(?:line|row|ln|cl|codeline|code-?line|token-line)(?:$|[ _-])")
_LANGUAGE_NAME = re.compile(
    r"(?:^| )(?:(?:language|lang|highlight-source|highlight-text|highlight|src|source)-|brush:? ?)"
    r"([a-z0-9+#.]+)"
)
_LANGUAGE_ATTRIBUTES = ("data-lang", "data-language", "lang-name", "data-code-language")
_NO_LANGUAGE_NAMES = (
    "none text plain plaintext default code hljs notranslate highlight highlighter rouge "
    "wrapper block table source src pre container line-numbers copy"
)
_NO_LANGUAGE = frozenset(_NO_LANGUAGE_NAMES.split())
_BARE_LANGUAGES_NAMES = (
    "bash c cpp csharp css diff go html java javascript json kotlin lua makefile markdown php "
    "perl powershell python r ruby rust scala sh shell sql swift toml typescript xml yaml"
)
_BARE_LANGUAGES = frozenset(_BARE_LANGUAGES_NAMES.split())
_PRE_STYLE = re.compile(
    r"white-space(?:-collapse)?\s*:\s*(?:pre(?:serve)?|pre-wrap|break-spaces)\b"
)
_NO_CODE = frozenset(("button", "clipboard-copy", "svg", "img", *INVISIBLE_TAGS))
_DIGITS = re.compile(r"[\d\s.:]*")


def is_preformatted(element: HtmlElement) -> bool:
    """True if whitespace and line breaks in the element are kept."""
    if element.tag in PREFORMATTED:
        return True
    style = element.get("style")
    return style is not None and _PRE_STYLE.search(style.lower()) is not None


def is_code(element: HtmlElement, tag: str) -> bool:
    """True if the element as a whole is a block of code."""
    if tag in PREFORMATTED:
        return True
    if tag == "table":
        return _is_code_table(element)
    if tag in ("div", "p") and _is_box_of_lines(element):
        return True
    if tag in ("div", "ol", "ul", "section", "span", "td"):
        return _is_code_lines(element)
    if tag in ("code", "tt", "samp", "kbd"):
        return _has_lines(element)
    if tag == "textarea":
        return (
            element.get("readonly") is not None
            and _CODE_NAME.search(id_and_classes(element)) is not None
        )
    return False


def _is_box_of_lines(element: HtmlElement) -> bool:
    """True for text with line breaks in a box that is named as code or set in monospace."""
    style = element.get("style")
    is_code_box = _BOX_NAME.search(id_and_classes(element)) is not None or (
        style is not None and _MONOSPACE.search(style.lower()) is not None
    )
    return (
        is_code_box
        and element.find(".//br") is not None
        and all(inner.tag in _IN_A_LINE for inner in element.iterdescendants())
    )


def _is_code_table(table: HtmlElement) -> bool:
    """True for a table of line numbers and code, or with one row per line."""
    rows = list(table.iter("tr"))
    if not rows or table.find(".//table") is not None:
        return False
    if any(not _is_gutter(head) for head in table.iter("th")):
        return False
    named = _CODE_NAME.search(id_and_classes(table)) is not None
    has_numbers = False
    for row in rows[:5]:
        cells = _cells(row)
        if not cells or len(cells) > 4:
            return False
        numbers = [cell for cell in cells if _is_gutter(cell)]
        if len(numbers) == len(cells):
            return False
        has_numbers |= bool(numbers)
        if not numbers and not any(_looks_like_code(cell) for cell in cells):
            return False
    return has_numbers or named


def _cells(row: HtmlElement) -> list[HtmlElement]:
    return [cell for cell in row if cell.tag in ("td", "th")]


def _looks_like_code(cell: HtmlElement) -> bool:
    return (
        cell.find(".//pre") is not None
        or cell.find(".//code") is not None
        or _CODE_NAME.search(id_and_classes(cell)) is not None
    )


def _is_gutter(element: HtmlElement) -> bool:
    """True for line numbers: named so, and only digits."""
    is_named = _NUMBERS_NAME.search(id_and_classes(element)) is not None
    is_named = is_named or element.get("data-line-number") is not None
    return is_named and _DIGITS.fullmatch(element.text_content()) is not None


def _is_code_lines(element: HtmlElement) -> bool:
    """True for a box named as code whose children are lines."""
    if len(element) == 0 or (element.text or "").strip():
        return False
    is_pre = is_preformatted(element)
    if not is_pre and _CODE_NAME.search(id_and_classes(element)) is None:
        return False
    num_lines = 0
    for child in element:
        if not isinstance(child.tag, str) or child.tag in _NO_CODE or (child.tail or "").strip():
            return False
        if effective_tag(child) not in ("div", "span", "li", "code", "pre"):
            return False
        is_line = _LINE_NAME.search(id_and_classes(child)) is not None or (
            child.tag == "code" and is_pre
        )
        if not is_line and not (child.tag in ("li", "div") and is_pre):
            return False
        num_lines += 1
    return num_lines > 0


def _has_lines(code: HtmlElement) -> bool:
    """True for a ``code`` element of several lines outside of a ``pre``."""
    if is_preformatted(code):
        return "\n" in code.text_content().strip() or code.find(".//br") is not None
    if code.find(".//br") is not None:
        return True
    return len(code) > 1 and all(effective_tag(child) in ("div", "p") for child in code)


def language(element: HtmlElement) -> str:
    """Language that the page declares, in lower case; empty if it declares none."""
    candidates = [element, *element.iter("code", "pre")][:4]
    ancestor = element.getparent()
    for _ in range(3):
        if ancestor is None or ancestor.tag in ("body", "main", "article", "li", "td"):
            break
        if _CODE_NAME.search(id_and_classes(ancestor)) is None and not ancestor.get(
            "class", ""
        ).startswith("language-"):
            break
        candidates.append(ancestor)
        ancestor = ancestor.getparent()
    for candidate in candidates:
        for attribute in _LANGUAGE_ATTRIBUTES:
            named = (candidate.get(attribute) or "").strip().lower()
            if named and _is_language(named):
                return named
        classes = " ".join(candidate.get("class", "").lower().split())
        for match in _LANGUAGE_NAME.finditer(classes):
            if _is_language(match[1]):
                return match[1].strip(".")
        is_marked = candidate.tag in ("pre", "code") or "sourcecode" in classes
        for word in classes.split() if is_marked else ():
            if word in _BARE_LANGUAGES:
                return word
    return ""


def _is_language(name: str) -> bool:
    return (
        name not in _NO_LANGUAGE
        and len(name) <= 20
        and re.fullmatch(r"[a-z0-9+#.-]+", name) is not None
    )


def lines(element: HtmlElement) -> str:
    """Return the code."""
    if element.tag == "table":
        return _trimmed("\n".join(_row_lines(element)))
    pieces: list[str] = []
    _collect(element, pieces, depth=0, is_pre=is_preformatted(element) or element.tag == "code")
    return _trimmed("".join(pieces))


def _row_lines(table: HtmlElement) -> list[str]:
    found = []
    for row in table.iter("tr"):
        parts = []
        for cell in _cells(row):
            if _is_gutter(cell):
                continue
            pieces = [cell.get("data-code-marker") or ""]  # the plus or minus of a diff
            _collect(cell, pieces, depth=0, is_pre=True)
            parts.append("".join(pieces).rstrip("\n"))
        found.append(" ".join(filter(None, parts)))
    return found


def _collect(element: HtmlElement, pieces: list[str], *, depth: int, is_pre: bool) -> None:
    """Collect the text, with a line break for each ``br`` and around each block."""
    if depth > 100:
        pieces.append(element.text_content())
        return
    if element.text:
        pieces.append(_text(element.text, is_pre))
    for child in element:
        tag = child.tag
        if tag == "br":
            pieces.append("\n")
        elif isinstance(tag, str) and tag not in _NO_CODE and not _is_gutter(child):
            is_block = tag in BLOCKS or _is_line_of_its_own(child)
            if is_block and not _ends_line(pieces):
                pieces.append("\n")
            before = len(pieces)
            _collect(child, pieces, depth=depth + 1, is_pre=True)
            if is_block and (not _ends_line(pieces) or len(pieces) == before):
                pieces.append("\n")
        tail = child.tail
        if tail:
            if tag in BLOCKS and not tail.strip():
                continue  # whitespace between two lines in the source
            pieces.append(_text(tail, is_pre))


def _is_line_of_its_own(element: HtmlElement) -> bool:
    """True for a ``span`` that a style displays as a line, without a line break in the source."""
    if element.tag not in ("span", "code") or _LINE_NAME.search(id_and_classes(element)) is None:
        return False
    return element.getnext() is not None and not (element.tail or "") and _stands_alone(element)


def _stands_alone(element: HtmlElement) -> bool:
    following = element.getnext()
    return (
        following is not None
        and following.tag == element.tag
        and _LINE_NAME.search(id_and_classes(following)) is not None
    )


def _text(text: str, is_pre: bool) -> str:
    # Unless it is a `pre`, the line breaks between the lines are only those of the source.
    return text if is_pre or text.strip() else ""


def _ends_line(pieces: list[str]) -> bool:
    for piece in reversed(pieces):
        if piece:
            return piece.endswith("\n")
    return True


def _trimmed(code: str) -> str:
    """Remove empty lines around the code, and trailing whitespace."""
    found = [line.rstrip() for line in code.expandtabs(4).replace("\xa0", " ").splitlines()]
    while found and not found[0]:
        del found[0]
    while found and not found[-1]:
        del found[-1]
    return "\n".join(found)
