"""Conversion of a grid of cells to a table with one header row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

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
from kronk_tools.reading.markdown.elements import effective_tag
from kronk_tools.reading.markdown.grid import Grid

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_MAX_REPEATED_CHARS = 200
_SPARE_REPEATED_CHARS = 20_000

_Row: TypeAlias = list[list[Block]]
_Cells: TypeAlias = Mapping["HtmlElement | None", list[Block]]


def table_of(grid: Grid, cells: _Cells, caption: str) -> Table | None:
    """Build the table; None if all cells are empty."""
    rows = _repeated(grid, cells)
    head = _joined_heads(grid, rows[: grid.num_head_rows])
    body = [row for row in rows[grid.num_head_rows :] if any(row)]
    if not head and body and not _has_row_headers(grid):
        head, body = body[0], body[1:]
    return Table(head, body, caption) if head or body else None


def _joined_heads(grid: Grid, rows: list[_Row]) -> _Row:
    """Merge the header rows: each column lists all headers above it."""
    if len(rows) < 2:
        return rows[0] if rows else []
    joined: list[list[Block]] = []
    for column in range(len(rows[0])):
        seen: set[HtmlElement | None] = {None}
        words: list[str] = []
        for row, cells in zip(rows, grid.rows, strict=False):
            if column < len(row) and cells[column] not in seen:
                seen.add(cells[column])
                words += [block.text for block in row[column] if isinstance(block, Paragraph)]
        joined.append([Paragraph(" / ".join(words))] if words else [])
    return joined


def _repeated(grid: Grid, cells_of: _Cells) -> list[_Row]:
    """The rows, with the content of a cell repeated in every position it spans.

    Long cells are not repeated. A malicious table could repeat a lot, so repetition is limited to
    about twice the content.
    """
    lengths = {cell: _num_chars(blocks) for cell, blocks in cells_of.items()}
    budget = _SPARE_REPEATED_CHARS + 2 * sum(lengths.values())
    seen: set[HtmlElement] = set()
    rows: list[_Row] = []
    for cells in grid.rows:
        row: _Row = []
        for cell in cells:
            blocks = cells_of[cell]
            if cell is not None and cell in seen:
                length = lengths[cell]
                blocks = blocks if length <= min(_MAX_REPEATED_CHARS, budget) else []
                budget -= length if blocks else 0
            elif cell is not None:
                seen.add(cell)
            row.append(blocks)
        rows.append(row)
    return rows


def _num_chars(blocks: list[Block]) -> int:
    """Approximate length of the written blocks."""
    return sum(map(_length, blocks))


def _length(block: Block) -> int:
    match block:
        case Paragraph(text) | Heading(text) | Code(text):
            return len(text)
        case ListBlock(items):
            return sum(4 + _num_chars(item.blocks) for item in items)
        case Definitions(terms):
            return sum(len(term.text) + sum(map(_num_chars, term.definitions)) for term in terms)
        case Quote(inner):
            return _num_chars(inner)
        case Table(head, rows):
            return sum(3 + _num_chars(cell) for row in [head, *rows] for cell in row)
        case HorizontalRule() | Anchor():
            return 0


def _has_row_headers(grid: Grid) -> bool:
    """True if the first column contains row headers, so that the first row is not a header row."""
    firsts = [row[0] for row in grid.rows if row and row[0] is not None]
    return bool(firsts) and all(effective_tag(first) == "th" for first in firsts)
