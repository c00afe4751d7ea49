"""Documents: the source bytes, and the text read from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["markdown", "text", "raw", "links"]
"""Output format: the main content as Markdown, the same without markup, the source, or the
links."""

MAX_LINKS = 2_000
"""Links kept per document."""


@dataclass(frozen=True, slots=True)
class Document:
    """Clean text of a document, with its metadata."""

    text: str
    title: str | None = None
    date: str | None = None
    """Publication date, as YYYY-MM-DD or as the page writes it."""
    author: str | None = None
    language: str | None = None
    """Language code declared by the page, such as ``en`` or ``de-AT``."""
    canonical_url: str | None = None
    """URL that the page declares as its own."""
    note: str | None = None
    """Remarks for the reader, for instance that the text is incomplete."""
    links: tuple[str, ...] = ()
    """URLs that the page links to, without duplicates; the first ``MAX_LINKS``."""
    anchors: dict[str, int] = field(default_factory=dict)
    """Offsets in the text of the anchors that a URL fragment may name."""


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """Bytes of a document and what is known about them."""

    body: bytes
    url: str
    media_type: str
    charset: str | None = None
    format: Format = "markdown"
