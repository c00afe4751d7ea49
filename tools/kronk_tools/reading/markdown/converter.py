"""Conversion of an HTML tree to blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kronk_tools.reading.markdown import code
from kronk_tools.reading.markdown.blocks import (
    Anchor,
    Block,
    Code,
    Definitions,
    Heading,
    HorizontalRule,
    Item,
    ListBlock,
    Paragraph,
    Quote,
    Table,
    Term,
)
from kronk_tools.reading.markdown.elements import BLOCKS, HEADINGS, INVISIBLE_TAGS, effective_tag
from kronk_tools.reading.markdown.flow import Flow
from kronk_tools.reading.markdown.grid import grid_of, is_layout
from kronk_tools.reading.markdown.inline import InlineWriter, anchor_mark, collapse_whitespace, tidy
from kronk_tools.reading.markdown.markers import ListMarkers
from kronk_tools.reading.markdown.table import table_of

if TYPE_CHECKING:
    from lxml.html import HtmlElement

_MAX_DEPTH = 120


class Converter:
    """Converts elements to blocks.

    Args:
        base: base URL of relative links.
        skip: elements to omit.
        is_markdown: True to write links and emphasis as Markdown.
    """

    def __init__(
        self, base: str, skip: frozenset[HtmlElement] = frozenset(), *, is_markdown: bool = True
    ) -> None:
        self._skip = skip
        self._is_markdown = is_markdown
        self._inline = InlineWriter(base, skip, is_markdown=is_markdown)
        self._block_holders: set[HtmlElement] = set()

    def blocks(self, root: HtmlElement) -> list[Block]:
        """Convert the element, including itself."""
        self._block_holders = _find_block_holders(root)
        return self._of_element(root, 0)

    # --- a row of elements -----------------------------------------------------------------------

    def _content(self, element: HtmlElement, depth: int) -> list[Block]:
        """The blocks in the element; text between them becomes paragraphs."""
        flow = Flow()
        is_pre = code.is_preformatted(element)
        flow.add_text(element.text, is_pre=is_pre)
        for child in element:
            self._add(child, flow, depth)
            flow.add_text(child.tail, is_pre=is_pre)
        return flow.blocks()

    def _add(self, element: HtmlElement, flow: Flow, depth: int) -> None:
        if element in self._skip:
            return
        tag = effective_tag(element)
        if tag in BLOCKS or element in self._block_holders or code.is_code(element, tag):
            flow.add_blocks(self._of_element(element, depth + 1))
        elif tag == "br":
            flow.add_inline("\n")
        else:
            flow.add_inline(self._inline.element(element))
            if tag == "code":
                flow.note_code(code.language(element))

    # --- one element -----------------------------------------------------------------------------

    def _of_element(self, element: HtmlElement, depth: int) -> list[Block]:
        if element in self._skip:
            return []
        if depth > _MAX_DEPTH:
            return _paragraph(collapse_whitespace(element.text_content()))
        tag = effective_tag(element)
        if tag in INVISIBLE_TAGS:
            shown = tag == "template" and element.get("shadowrootmode") is not None
            return self._content(element, depth) if shown else []
        name = element.get("id") or (element.get("name") if tag == "a" else None)
        anchor: list[Block] = [Anchor(name)] if name else []
        return anchor + self._of_kind(element, tag, depth)

    def _of_kind(self, element: HtmlElement, tag: str, depth: int) -> list[Block]:
        if code.is_code(element, tag):
            return [Code(code.lines(element), code.language(element))]
        if tag in HEADINGS:
            return self._heading(element, HEADINGS[tag], depth)
        match tag:
            case "ul" | "ol" | "menu" | "dir":
                return self._list(element, tag, depth)
            case "dl":
                return self._definitions(element, depth)
            case "dt":
                return _paragraph(self._inline.content(element, within="dt"))
            case "table":
                return self._table(element, depth)
            case "blockquote":
                return self._quote(element, depth)
            case "hr":
                return [HorizontalRule()]
            case "summary" | "legend" | "caption":
                return self._titled(element, depth)
            case "a":
                return self._linked(element, depth)
            case "dialog" if element.get("open") is None:
                return []
            case "tr":
                return self._stray_row(element, depth)
        if tag in BLOCKS or element in self._block_holders:
            return self._content(element, depth)
        return _paragraph(self._inline.element(element))

    def _heading(self, element: HtmlElement, level: int, depth: int) -> list[Block]:
        tag = f"h{level}"
        text = tidy(self._inline.content(element, within=f"{tag}<**>")).replace("\n", " ")
        if element.find(".//table") is not None or element.find(".//pre") is not None:
            return self._content(element, depth)
        return [Heading(text, level)] if text else []

    def _titled(self, element: HtmlElement, depth: int) -> list[Block]:
        """A line that names what follows it."""
        if any(child in self._block_holders or effective_tag(child) in BLOCKS for child in element):
            return self._content(element, depth)
        text = tidy(self._inline.content(element, within="<**>"))
        return [Paragraph(f"**{text}**" if self._is_markdown else text)] if text else []

    def _linked(self, element: HtmlElement, depth: int) -> list[Block]:
        """A link around blocks: its URL is attached to the first text."""
        blocks = self._content(element, depth)
        for index, block in enumerate(blocks):
            match block:
                case Paragraph(text) if "](" not in text:
                    blocks[index] = Paragraph(self._inline.link(text, element))
                    return blocks
                case Heading(text, level) if "](" not in text:
                    blocks[index] = Heading(self._inline.link(text, element), level)
                    return blocks
        return blocks

    def _quote(self, element: HtmlElement, depth: int) -> list[Block]:
        blocks = self._content(element, depth)
        source = self._inline.resolve(element.get("cite") or "")
        if blocks and self._is_markdown and source.startswith("http"):
            blocks.append(Paragraph(f"(Source: {source})"))
        return [Quote(blocks)] if blocks else []

    def _list(self, element: HtmlElement, tag: str, depth: int) -> list[Block]:
        markers = ListMarkers(element, tag)
        items: list[Item] = []
        for child in element:
            if child in self._skip or effective_tag(child) in INVISIBLE_TAGS:
                continue
            if (
                effective_tag(child) in ("ul", "ol", "menu") and items
            ):  # next to its item instead of inside it
                items[-1].blocks.extend(self._of_element(child, depth + 1))
                continue
            marker = markers.next(child)
            blocks = self._of_element(child, depth + 1)
            if any(not isinstance(block, Anchor) for block in blocks):
                items.append(Item(blocks, marker))
            if items:  # misplaced text between two items
                items[-1].blocks.extend(_paragraph(collapse_whitespace(child.tail or "")))
        lead = _paragraph(collapse_whitespace(element.text or ""))
        return [*lead, ListBlock(items)] if items else lead

    def _definitions(self, element: HtmlElement, depth: int) -> list[Block]:
        terms: list[Term] = []
        for child in _dl_parts(element):
            if child in self._skip:
                continue
            match effective_tag(child):
                case "dt":
                    text = tidy(self._inline.content(child, within="dt")).replace("\n", " ")
                    terms.append(Term(anchor_mark(child.get("id")) + text))
                case "dd":
                    if not terms:
                        terms.append(Term(""))
                    terms[-1].definitions.append(self._of_element(child, depth + 1))
                case _:
                    blocks = self._of_element(child, depth + 1)
                    if blocks and not terms:
                        terms.append(Term(""))
                    if blocks:
                        terms[-1].definitions.append(blocks)
            beside = _paragraph(collapse_whitespace(child.tail or ""))
            if beside and terms:
                terms[-1].definitions.append(beside)
        return [Definitions(terms)] if terms else []

    # --- tables ----------------------------------------------------------------------------------

    def _table(self, element: HtmlElement, depth: int) -> list[Block]:
        grid = grid_of(element, self._skip)
        captions = [tidy(self._inline.content(caption)) for caption in grid.captions]
        around = [block for other in grid.others for block in self._of_element(other, depth + 1)]
        loose = [block for text in grid.texts for block in _paragraph(collapse_whitespace(text))]
        if is_layout(element) or depth > _MAX_DEPTH // 2:
            cells = dict.fromkeys(cell for row in grid.rows for cell in row if cell is not None)
            inner = [block for cell in cells for block in self._of_element(cell, depth + 1)]
            return [*map(Paragraph, filter(None, captions)), *loose, *around, *inner]
        cells_of: dict[HtmlElement | None, list[Block]] = {None: []}
        for row in grid.rows:
            for cell in row:
                if cell not in cells_of:
                    cells_of[cell] = self._of_element(cell, depth + 1)
        table = table_of(grid, cells_of, " ".join(filter(None, captions)))
        if table is None:
            return [*map(Paragraph, filter(None, captions)), *loose, *around]
        return [*loose, *around, table]

    def _stray_row(self, element: HtmlElement, depth: int) -> list[Block]:
        cells = [self._of_element(cell, depth + 1) for cell in element]
        return [Table(cells, [])] if len(cells) > 1 else [block for cell in cells for block in cell]


def _paragraph(text: str) -> list[Block]:
    text = tidy(text)
    return [Paragraph(text)] if text else []


def _dl_parts(element: HtmlElement) -> Iterable[HtmlElement]:
    for child in element:
        if effective_tag(child) == "div":
            yield from child
        elif effective_tag(child) not in INVISIBLE_TAGS:
            yield child


def _find_block_holders(root: HtmlElement) -> set[HtmlElement]:
    """Inline elements that contain blocks."""
    holders: set[HtmlElement] = set()
    passed: set[HtmlElement] = set()
    for element in root.iter():
        tag = element.tag
        if not isinstance(tag, str):
            continue
        is_block = tag in BLOCKS
        if not is_block and (element.get("role") or element.get("style")):
            is_block = effective_tag(element) in BLOCKS
        if not is_block and (tag == "code" or tag == "span" or tag == "textarea") and len(element):
            is_block = code.is_code(element, tag)
        if not is_block:
            continue
        above = element.getparent()
        while above is not None and above not in passed:
            passed.add(above)
            if above.tag not in BLOCKS:
                holders.add(above)
            above = above.getparent()
    return holders
