"""PDF to text, page by page."""

from __future__ import annotations

import io
import logging

from pypdf import PasswordType, PdfReader
from pypdf.errors import PyPdfError

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import MAX_LINKS, Document, DocumentSource
from kronk_tools.text import clean, one_line

MAX_PAGES = 500
"""Pages read from a PDF."""
_MAX_TITLE_CHARS = 200


def read_pdf(source: DocumentSource) -> Document:
    """Read the text of a PDF, each page under a line with its number.

    Raises:
        ToolError: the PDF is broken, protected, or contains no text.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it reports every irregularity of a file
    try:
        reader = PdfReader(io.BytesIO(source.body))
        if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
            raise ToolError(f"{source.url} is a PDF with a password: use another source")
        return _read(reader, source)
    except ToolError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # pypdf's exceptions for broken files have no common base class.
        raise ToolError(
            f"{source.url} is a PDF that cannot be read ({one_line(str(error), max_chars=100)}): "
            "use another source"
        ) from error


def _read(reader: PdfReader, source: DocumentSource) -> Document:
    num_pages = len(reader.pages)
    pages: list[str] = []
    anchors: dict[str, int] = {}
    position = 0
    for number, page in enumerate(reader.pages[:MAX_PAGES], start=1):
        text = clean(page.extract_text())
        if text:
            anchors[f"page={number}"] = position
            pages.append(f"[Page {number} of {num_pages}]\n\n{text}")
            position += len(pages[-1]) + 2
    if not pages:
        raise ToolError(
            f"{source.url} is a PDF of {num_pages} pages without text, probably of scanned images: "
            "use another source"
        )
    about = reader.metadata
    date = about.creation_date if about else None
    return Document(
        text="\n\n".join(pages),
        title=_optional(about.title if about else None),
        author=_optional(about.author if about else None),
        date=date.date().isoformat() if date else None,
        note=f"Only the first {MAX_PAGES} of its {num_pages} pages were read."
        if num_pages > MAX_PAGES
        else None,
        links=_links(reader),
        anchors=anchors,
    )


def _links(reader: PdfReader) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for page in reader.pages[:MAX_PAGES]:
        for annotation in page.annotations or ():
            action = annotation.get_object().get("/A")
            target = action.get_object().get("/URI") if action is not None else None
            if isinstance(target, str) and target.startswith(("http://", "https://")):
                found[clean(target)] = None
    return tuple(found)[:MAX_LINKS]


def _optional(text: str | None) -> str | None:
    return one_line(text or "", max_chars=_MAX_TITLE_CHARS) or None
