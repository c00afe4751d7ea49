from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["markdown", "text", "raw", "links"]
"""How a page is read: its main content, the same without markup, its source, or its links."""

MAX_LINKS = 2_000


@dataclass(frozen=True, slots=True)
class Document:
    """Text, clean and complete, and what the page says about itself."""

    text: str
    title: str | None = None
    date: str | None = None
    """When it was published, as YYYY-MM-DD or as the page writes it."""
    author: str | None = None
    language: str | None = None
    """As the page says it, such as ``en`` or ``de-AT``."""
    canonical_url: str | None = None
    """The address the page gives itself."""
    note: str | None = None
    """What the reader should know of the text, for instance that it is not all there is."""
    links: tuple[str, ...] = ()
    """Where the page links to, each once; the first ``MAX_LINKS``."""
    anchors: dict[str, int] = field(default_factory=dict)
    """Where in the text the places are that addresses with ``#name`` lead to."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a document is read from."""

    body: bytes
    url: str
    media_type: str
    charset: str | None = None
    format: Format = "markdown"
