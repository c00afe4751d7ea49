from __future__ import annotations

import io

import pytest
from minimal_pdf import pdf
from pypdf import PdfReader, PdfWriter

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, DocumentSource
from kronk_tools.reading.formats import read

URL = "https://example.com/paper.pdf"


def paper(body: bytes, media_type: str = "application/pdf") -> Document:
    return read(DocumentSource(body, URL, media_type))


def refusal(body: bytes) -> str:
    with pytest.raises(ToolError) as error:
        paper(body)
    return str(error.value)


def rewritten(body: bytes, *, password: str | None = None) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(body)))
    writer.add_metadata(
        {"/Title": "A\u200b paper", "/Author": "Ada", "/CreationDate": "D:20260203040506Z"}
    )
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("media_type", ["application/pdf", ""])
def test_a_pdf_is_read_page_by_page_with_what_it_says_about_itself(media_type: str) -> None:
    body = rewritten(pdf("The first page.", "", "The third page."))

    assert paper(body, media_type) == Document(
        "[Page 1 of 3]\n\nThe first page.\n\n[Page 3 of 3]\n\nThe third page.",
        title="A paper",
        author="Ada",
        date="2026-02-03",
        links=("https://example.com/next",),
        anchors={"page=1": 0, "page=3": 32},
    )


def test_a_pdf_locked_with_an_empty_password_is_read() -> None:
    assert "The page." in paper(rewritten(pdf("The page."), password="")).text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (rewritten(pdf("Secret."), password="x"), "is a PDF with a password"),
        (pdf("", ""), "is a PDF of 2 pages without text, probably of scanned images"),
        (b"%PDF-1.4 and nothing else", "is a PDF that cannot be read ("),
        (b"", "is a PDF that cannot be read ("),
        (pdf("The page.")[:120], "is a PDF that cannot be read ("),
    ],
)
def test_a_pdf_that_cannot_be_read_says_why(body: bytes, words: str) -> None:
    assert words in refusal(body)
