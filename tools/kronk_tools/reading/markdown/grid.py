"""Structure of a table: the cell at each row and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown.elements import effective_tag, id_and_classes, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.html import HtmlElement

_MAX_SPAN = 1_000
_SPARE_CELLS = 1_000
_SPREAD = 10
_LONG_CELL_CHARS = 300


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of a table; a cell that spans several rows or columns is at each of them."""

    rows: list[list[HtmlElement | None]]
    num_head_rows: int
    captions: list[HtmlElement]
    others: list[HtmlElement]
    """Elements in the table that are neither rows nor captions."""
    texts: list[str]
    """Text outside of the rows and cells."""


def grid_of(table: HtmlElement, skip: frozenset[HtmlElement] = frozenset()) -> Grid:
    """Lay out the table's own rows, without those of ``skip``."""
    captions: list[HtmlElement] = []
    others: list[HtmlElement] = []
    groups: list[tuple[str, list[list[HtmlElement]]]] = []
    _gather(table, "tbody", groups, captions, others, skip, depth=0)
    groups.sort(key=lambda group: {"thead": 0, "tfoot": 2}.get(group[0], 1))
    rows = _placed([group for _, group in groups])
    num_head_rows = sum(len(group) for name, group in groups if name == "thead")
    num_head_rows = max(num_head_rows, _num_rows_of_heads(rows))
    return Grid(rows, min(num_head_rows, len(rows)), captions, others, _texts_beside(table))


def is_layout(table: HtmlElement) -> bool:
    """True if the table is only used for layout, so that its cells are read in sequence."""
    if table.get("role") in ("presentation", "none"):
        return True
    if table.get("role") is not None or table.tag != "table":
        return False
    has_head = any(effective_tag(cell) == "th" for cell in _own(table, "th"))
    if has_head or table.find("caption") is not None or table.find("thead") is not None:
        return False
    rows = [[cell for cell in row if effective_tag(cell) == "td"] for row in _own(table, "tr")]
    if max(map(len, rows), default=0) <= 1:
        return True
    if "layout" in id_and_classes(table):
        return True
    return any(_holds_a_page(cell) for row in rows for cell in row)


def _holds_a_page(cell: HtmlElement) -> bool:
    for inner in cell.iter("table", "h1", "h2", "h3", "h4", "h5", "h6", "article", "form", "nav"):
        if inner is not cell and (
            inner.tag != "table" or len(inner.text_content()) > _LONG_CELL_CHARS
        ):
            return True
    return len(cell.findall(".//p")) > 1 and len(cell.text_content()) > _LONG_CELL_CHARS


def _own(table: HtmlElement, tag: str) -> Iterator[HtmlElement]:
    """Elements of the table itself, not of nested tables."""
    for element in table.iter(tag):
        if next(element.iterancestors("table"), None) is table:
            yield element


def _gather(
    element: HtmlElement,
    group: str,
    groups: list[tuple[str, list[list[HtmlElement]]]],
    captions: list[HtmlElement],
    others: list[HtmlElement],
    skip: frozenset[HtmlElement],
    *,
    depth: int,
) -> None:
    rows: list[list[HtmlElement]] = []
    for child in element:
        if child in skip:
            continue
        match effective_tag(child):
            case "caption":
                captions.append(child)
            case "tr":
                rows.append(_cells(child))
            case ("thead" | "tbody" | "tfoot") as name if depth < 5:
                if rows:
                    groups.append((group, rows))
                    rows = []
                _gather(child, name, groups, captions, others, skip, depth=depth + 1)
            case "td" | "th":  # a cell without a row
                if rows and rows[-1] and rows[-1][-1].getnext() is child:
                    rows[-1].append(child)
                else:
                    rows.append([child])
            case "colgroup" | "col" | "script" | "style" | "template":
                pass
            case _ if depth < 5 and child.tag in ("form", "div", "span") and _holds_rows(child):
                if rows:
                    groups.append((group, rows))
                    rows = []
                _gather(child, group, groups, captions, others, skip, depth=depth + 1)
            case _:
                others.append(child)
    if rows:
        groups.append((group, rows))


def _texts_beside(table: HtmlElement) -> list[str]:
    """Misplaced text that browsers show anyway."""
    found = [table.text or ""]
    for child in table:
        found.append(child.tail or "")
        if child.tag in ("thead", "tbody", "tfoot", "tr"):
            for inner in (child, *child.iter("tr")):
                found += [inner.text or "", *(cell.tail or "" for cell in inner)]
    return [text for text in found if text.strip()]


def _holds_rows(element: HtmlElement) -> bool:
    return any(effective_tag(child) in ("tr", "tbody", "thead") for child in element)


def _cells(row: HtmlElement) -> list[HtmlElement]:
    cells = []
    for child in row:
        if effective_tag(child) in ("td", "th"):
            cells.append(child)
        elif isinstance(child.tag, str) and child.tag not in ("script", "template", "style"):
            inner = [cell for cell in child if effective_tag(cell) in ("td", "th")]
            cells += inner or [child]
    return cells


def _span(cell: HtmlElement, name: str, room: int) -> int:
    written = cell.get(name) or cell.get(f"aria-{name}")
    span = number(written, 1, lowest=0, highest=_MAX_SPAN)
    return min(span or room, room) if name == "rowspan" else max(span, 1)


def _placed(groups: list[list[list[HtmlElement]]]) -> list[list[HtmlElement | None]]:
    num_cells = sum(len(row) for group in groups for row in group)
    most = _SPREAD * num_cells + _SPARE_CELLS
    rows: list[dict[int, HtmlElement]] = []
    starts: set[int] = set()
    num_placed = 0
    for group in groups:
        placed: list[dict[int, HtmlElement]] = [{} for _ in group]
        for index, row in enumerate(group):
            column = 0
            for cell in row:
                while column in placed[index]:
                    column += 1
                starts.add(column)
                down = _span(cell, "rowspan", len(group) - index)
                across = _span(cell, "colspan", _MAX_SPAN)
                num_placed += down * across
                if num_placed > most * 20:
                    return _unspanned(groups)
                for below in placed[index : index + down]:
                    for offset in range(across):
                        below.setdefault(column + offset, cell)
                column += across
        rows += placed
    # A column in which no cell begins is indistinguishable from the one before it.
    columns = sorted(starts)
    if len(columns) * len(rows) > most:
        return _unspanned(groups)
    return [[row.get(column) for column in columns] for row in rows]


def _unspanned(groups: list[list[list[HtmlElement]]]) -> list[list[HtmlElement | None]]:
    rows = [row for group in groups for row in group]
    width = max(map(len, rows), default=0)
    if width * len(rows) > _SPREAD * sum(map(len, rows)) + _SPARE_CELLS:
        return [list[HtmlElement | None](row) for row in rows]  # ragged: too wide to fill up
    return [[*row, *[None] * (width - len(row))] for row in rows]


def _num_rows_of_heads(rows: list[list[HtmlElement | None]]) -> int:
    """Number of rows at the top that consist of header cells only."""
    num_rows = 0
    for row in rows:
        cells = [cell for cell in row if cell is not None]
        if num_rows > 0 and len(row) > 1 and len(set(cells)) == 1:
            break  # a heading of the rows below
        if not cells or not all(_is_head(cell) for cell in cells):
            # The corner may be empty, and not a header cell.
            heads = [cell for cell in cells if _is_head(cell)]
            rest = [cell for cell in cells if not _is_head(cell)]
            is_corner = len(rest) == 1 and rest[0] is row[0] and not _words(rest[0])
            if not heads or not is_corner:
                break
        num_rows += 1
    return num_rows if num_rows < len(rows) else min(num_rows, 1)


def _words(cell: HtmlElement) -> str:
    return str(cell.text_content()).strip()


def _is_head(cell: HtmlElement) -> bool:
    return effective_tag(cell) == "th" and cell.get("scope") not in ("row", "rowgroup")
