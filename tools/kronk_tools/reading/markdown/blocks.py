"""Blocks: the intermediate form between a page's tree and the written text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of inline text."""

    text: str
    """Inline Markdown; line breaks are those of the page."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading."""

    text: str
    level: int
    """1 to 6."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code block."""

    text: str
    """With line breaks and indentation, without line numbers."""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list."""

    blocks: list[Block]
    marker: str
    """``-``, ``4.``, ``c.`` …"""


@dataclass(frozen=True, slots=True)
class ListBlock:
    """A list."""

    items: list[Item]


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a definition list, with its definitions."""

    text: str
    definitions: list[list[Block]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Definitions:
    """A definition list."""

    terms: list[Term]


@dataclass(frozen=True, slots=True)
class Quote:
    """A block quote."""

    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with at most one header row."""

    head: list[list[Block]]
    """Cells of the header row; empty if the table has none."""
    rows: list[list[list[Block]]]
    """Each row has as many cells as the header."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class HorizontalRule:
    """A horizontal rule."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A target of URL fragments (``#name``), placed before the next block."""

    name: str


Block: TypeAlias = (
    Paragraph | Heading | Code | ListBlock | Definitions | Quote | Table | HorizontalRule | Anchor
)
