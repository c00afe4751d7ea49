"""Collects inline text between blocks into paragraphs."""

from __future__ import annotations

from collections.abc import Iterable

from kronk_tools.reading.markdown.blocks import Block, Code, Paragraph
from kronk_tools.reading.markdown.inline import append, collapse_whitespace, tidy


class Flow:
    """Collects text and blocks in order; the text between two blocks becomes a paragraph."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._line: list[str] = []
        self._codes: list[str] = []
        """Languages of the ``code`` elements in the line."""

    def add_text(self, text: str | None, *, is_pre: bool) -> None:
        """Add text of the page."""
        if text:
            self._line.append(text if is_pre else collapse_whitespace(text))

    def add_inline(self, text: str) -> None:
        """Add inline Markdown."""
        append(self._line, text)

    def note_code(self, language: str) -> None:
        """Record that the line contains a ``code`` element in this language."""
        self._codes.append(language)

    def add_blocks(self, blocks: Iterable[Block]) -> None:
        """End the paragraph and add blocks."""
        self._end_line()
        self._blocks += blocks

    def blocks(self) -> list[Block]:
        """End the paragraph and return all blocks."""
        self._end_line()
        return self._blocks

    def _end_line(self) -> None:
        line, codes = tidy("".join(self._line)), self._codes
        self._line, self._codes = [], []
        if len(codes) > 1 and _is_all_code(line, len(codes)):
            text = "\n".join(part[1:-1] for part in line.split("\n"))
            self._blocks.append(Code(text, codes[0]))
        elif line:
            self._blocks.append(Paragraph(line))


def _is_all_code(line: str, num_codes: int) -> bool:
    """True for lines that are each one ``code`` element."""
    parts = line.split("\n")
    return len(parts) == num_codes and all(
        len(part) > 2 and part[0] == part[-1] == "`" and "`" not in part[1:-1] for part in parts
    )
