"""What a page consists of, between its tree and the text that is written of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    """Inline Markdown; a line break in it is one on the page."""


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int
    """1 to 6."""


@dataclass(frozen=True, slots=True)
class Code:
    text: str
    """With its line breaks and indentation, without line numbers."""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    blocks: list[Block]
    marker: str
    """``-``, ``4.``, ``c.`` …"""


@dataclass(frozen=True, slots=True)
class ListBlock:
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a definition list, and what is said of it."""

    text: str
    definitions: list[list[Block]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Definitions:
    terms: list[Term]


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Table:
    head: list[list[Block]]
    """The cells of the one header row; empty where the table has none."""
    rows: list[list[list[Block]]]
    """As many cells in each as in the header."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the page."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place that an address with ``#name`` leads to: before the block that follows."""

    name: str


Block: TypeAlias = (
    Paragraph | Heading | Code | ListBlock | Definitions | Quote | Table | Rule | Anchor
)
