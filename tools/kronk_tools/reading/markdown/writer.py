"""Writes blocks as Markdown or plain text."""

from __future__ import annotations

import re

from kronk_tools.reading.markdown.blocks import (
    Anchor,
    Block,
    Code,
    Definitions,
    Heading,
    HorizontalRule,
    ListBlock,
    Paragraph,
    Quote,
    Table,
)
from kronk_tools.reading.markdown.inline import MARK_END, MARK_START, anchor_mark
from kronk_tools.text import strip_invisible

_MARK = re.compile(f"{MARK_START}([^{MARK_END}{MARK_START}]*){MARK_END}")
_MAX_ANCHORS = 5_000


def write(blocks: list[Block], *, is_markdown: bool = True) -> tuple[str, dict[str, int]]:
    """Return the text and the offsets of its anchors."""
    text = "\n\n".join(_written(blocks, is_markdown=is_markdown))
    return _without_marks(strip_invisible(text).strip())


def _without_marks(text: str) -> tuple[str, dict[str, int]]:
    pieces: list[str] = []
    anchors: dict[str, int] = {}
    position = length = 0
    for match in _MARK.finditer(text):
        pieces.append(text[position : match.start()])
        length += match.start() - position
        position = match.end()
        if len(anchors) < _MAX_ANCHORS:
            anchors.setdefault(match[1], length)
    pieces.append(text[position:])
    return "".join(pieces), anchors


def _written(blocks: list[Block], *, is_markdown: bool) -> list[str]:
    """Text of each block."""
    return [text for _, text in _parts(blocks, is_markdown)]


def _parts(blocks: list[Block], is_markdown: bool) -> list[tuple[Block, str]]:
    """The blocks with a non-empty text, each with its text."""
    found: list[tuple[Block, str]] = []
    marks = ""
    for block in blocks:
        if isinstance(block, Anchor):
            marks += anchor_mark(block.name)
        elif isinstance(block, Paragraph | Heading) and not _MARK.sub("", block.text).strip():
            marks += block.text.strip()
        else:
            text = _block(block, is_markdown)
            if text:
                found.append((block, marks + text))
                marks = ""
    if marks and found:
        block, text = found[-1]
        found[-1] = block, text + marks
    return found


def _block(block: Block, is_markdown: bool) -> str:
    match block:
        case Paragraph(text):
            return text
        case Heading(text, level):
            return f"{'#' * level} {text}" if is_markdown else text
        case Code(text, language):
            return _fenced(text, language) if is_markdown else text
        case ListBlock():
            return _list(block, is_markdown)
        case Definitions():
            return _definitions(block, is_markdown)
        case Quote(blocks):
            text = "\n\n".join(_written(blocks, is_markdown=is_markdown))
            return _prefixed(text, "> ", "> ") if is_markdown and text else text
        case Table():
            return _table(block, is_markdown)
        case HorizontalRule():
            return "---" if is_markdown else ""
        case Anchor(name):
            return anchor_mark(name)


def _fenced(text: str, language: str) -> str:
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _prefixed(text: str, first: str, others: str) -> str:
    first_line, *rest = text.split("\n")
    return "\n".join([first + first_line, *((others + line).rstrip() for line in rest)])


def _list(block: ListBlock, is_markdown: bool) -> str:
    written = []
    is_loose = False
    for item in block.items:
        lead = f"{item.marker} "
        text = ""
        for index, (part, words) in enumerate(_parts(item.blocks, is_markdown)):
            # A list or code in an item follows directly; other blocks after an empty line.
            is_tight = isinstance(part, ListBlock | Code)
            is_loose |= index > 0 and not is_tight
            text += ("" if index == 0 else "\n" if is_tight else "\n\n") + words
        written.append(_prefixed(text, lead, " " * len(lead)))
    return ("\n\n" if is_loose else "\n").join(written)


def _definitions(block: Definitions, is_markdown: bool) -> str:
    lines = []
    for term in block.terms:
        if term.text:
            lines.append(term.text)
        for definition in term.definitions:
            text = "\n\n".join(_written(definition, is_markdown=is_markdown))
            if text:
                lines.append(_prefixed(text, ": ", "  "))
    return "\n".join(lines)


def _table(block: Table, is_markdown: bool) -> str:
    width = max([len(block.head), *map(len, block.rows)])
    rows = []
    if block.head or is_markdown:
        rows.append(_row(block.head, width, is_markdown))
    if is_markdown:
        rows.append("|" + "---|" * width)
    rows += [_row(cells, width, is_markdown) for cells in block.rows]
    caption = f"{block.caption}\n\n" if block.caption else ""
    return caption + "\n".join(rows)


def _row(cells: list[list[Block]], width: int, is_markdown: bool) -> str:
    written = [_cell(blocks, is_markdown) for blocks in cells]
    if not is_markdown:
        return " | ".join(written)
    written += [""] * (min(width, len(written) + 100) - len(written))
    return f"| {' | '.join(written)} |"


def _cell(blocks: list[Block], is_markdown: bool) -> str:
    """Blocks on one line."""
    text = _flat(blocks, is_markdown)
    return text.replace("|", "\\|") if is_markdown else text


def _flat(blocks: list[Block], is_markdown: bool) -> str:
    parts: list[str] = []
    marks = ""
    for block in blocks:
        match block:
            case Anchor(name):
                marks += anchor_mark(name)
                continue
            case Heading(text):
                part = text
            case Paragraph(text):
                part = text
            case Code(text):
                lines = [line for line in text.split("\n") if line.strip()]
                part = "\n".join(
                    f"`{line}`" if is_markdown and "`" not in line else line for line in lines
                )
            case ListBlock(items):
                part = "\n".join(
                    f"{item.marker} {_flat(item.blocks, is_markdown)}" for item in items
                )
            case Definitions(terms):
                part = "\n".join(
                    f"{term.text}: {'; '.join(_flat(one, is_markdown) for one in term.definitions)}"
                    for term in terms
                )
            case Quote(inner):
                part = _flat(inner, is_markdown)
            case Table(head, rows, caption):
                lines = [
                    ", ".join(filter(None, (_flat(cell, is_markdown) for cell in row)))
                    for row in [head, *rows]
                ]
                part = "\n".join(filter(None, [caption, *lines]))
            case HorizontalRule():
                part = ""
        if part:
            parts.append(marks + part)
            marks = ""
    text = "\n".join(parts) + marks
    return text.replace("\n", "<br>" if is_markdown else "; ")
