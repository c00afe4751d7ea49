"""Documents that are made to hang their reader, fill its memory, or fetch files and pages."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from loopback_web import LoopbackWeb

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import DocumentSource
from kronk_tools.reading.process import ReaderPool

DOOR = "documents read by web_fetch"

PDF = "application/pdf"
SVG = "image/svg+xml"
XHTML = "application/xhtml+xml"
RSS = "application/rss+xml"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF file whose first object is its catalog."""
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, rows)
    end = b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n"
    return out + table + end % (size, trailer, len(out))


def page(content: bytes, *more: bytes, kids: bytes = b"[3 0 R]", count: int = 1) -> bytes:
    """A PDF of one page with this content."""
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids %b /Count %d >>" % (kids, count),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R "
        b"/Resources << /XObject << /X 5 0 R >> >> >>",
        content,
        *more,
    )


def stream(data: bytes, how: bytes = b"/FlateDecode") -> bytes:
    head = b"<< /Length %d /Filter %b >>" % (len(data), how)
    return b"%b\nstream\n%b\nendstream" % (head, data)


def packed(data: bytes, times: int) -> bytes:
    """The data so many times over, compressed."""
    packing = zlib.compressobj(9)
    return b"".join(packing.compress(data) for _ in range(times)) + packing.flush()


ITSELF = (
    b"<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X 5 0 R >> >> "
    b"/Length 11 >>\nstream\n/X Do /X Do\nendstream"
)
ENCRYPTED = (
    b"/Encrypt << /Filter /Standard /V 5 /R 6 /Length 99999999 /O <00> /U <00> /P 0 /OE <00> "
    b"/UE <00> /Perms <00> >> /ID [<00><00>]"
)

PDFS: Mapping[str, bytes] = {
    "a page of 400 MB": page(stream(packed(bytes(10**6), 400))),
    "1 GB, packed twice": page(
        stream(zlib.compress(packed(bytes(10**6), 1000)), b"[/FlateDecode /FlateDecode]")
    ),
    "3,000,000 operators": page(stream(packed(b"BT /F1 1 Tf (a) Tj ET\n", 3_000_000))),
    "12 MB of run lengths": page(stream(b"\x81a" * 4_000_000, b"/RunLengthDecode")),
    "a form that draws itself": page(stream(packed(b"/X Do", 1)), ITSELF),
    "pages that hold themselves": page(b"null", kids=b"[2 0 R]"),
    "two billion pages that are not there": page(b"null", count=2**31),
    "a million times the same page": page(b"null", kids=b"[%b]" % (b"3 0 R " * 10**6), count=10**6),
    "nested lists": pdf(b"<< /Pages 2 0 R /X %b >>" % (b"[" * 200_000), b"<< /Kids [] >>"),
    "a table that begins with itself": pdf(b"<< /Type /Catalog >>", trailer=b"/Prev 9"),
    "a stream that is its own length": page(b"<< /Length 4 0 R >>\nstream\nx\nendstream"),
    "a password that cannot be tried": pdf(b"<< /Type /Catalog >>", trailer=ENCRYPTED),
    "encryption without a dictionary": pdf(b"<< /Type /Catalog >>", trailer=b"/Encrypt 9 0 R"),
}

_LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">{_LAUGHS}]>'
LONG = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a11 "{"x" * 100_000}">]>'
BODIES: Mapping[str, str] = {
    SVG: '<svg xmlns="http://www.w3.org/2000/svg"><text>Read me. {}</text></svg>',
    RSS: "<rss><channel><title>{0}</title><item><title>Read me. {0}</title></item></channel></rss>",
    XHTML: "<html><body><p>Read me. {}</p></body></html>",
}


def word_document() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f"{LAUGHS}<w>&a11;</w>")
        archive.writestr("word/media/image1.png", bytes(50_000_000))
    return packed.getvalue()


TRIES: Mapping[str, tuple[bytes, str]] = {
    **{f"PDF: {name}": (body, PDF) for name, body in PDFS.items()},
    **{
        f"{name}: {kind}": ((head + BODIES[kind].format(entity)).encode(), kind)
        for name, head, entity in (
            ("billion laughs", LAUGHS, "&a11;"),
            ("quadratic blowup", LONG, "&a11;" * 1000),
        )
        for kind in BODIES
    },
    "a Word document with both bombs": (word_document(), WORD),
    "the same without its type": (word_document(), ""),
    "deep HTML": (b"<div>" * 1_000_000, "text/html"),
    "a feed in a feed": (b"<rss>" + b"<item>" * 500_000, RSS),
    "200,000 attributes": (
        b"<p %b>Read me.</p>" % b" ".join(b"a%d=1" % n for n in range(200_000)),
        "text/html",
    ),
    "cells that span a billion": (
        b"<table>%b</table>" % (b"<tr><td colspan=100000000 rowspan=1000000000>x" * 200),
        "text/html",
    ),
    "beginnings of document types": (b"<!DOCTYPE" * 100_000, "application/xml"),
    "beginnings of comments": (b"<!--" * 100_000, ""),
}
"""A body and its type."""

URL = "https://a.example/"
SECONDS = 20


@pytest.fixture(scope="module")
def reader() -> ReaderPool:
    return ReaderPool()


@pytest.mark.parametrize("name", TRIES)
async def test_it_is_read_or_refused_in_time(name: str, reader: ReaderPool) -> None:
    body, media_type = TRIES[name]

    said = await read(reader, body, media_type)

    assert "broke down" not in said
    assert len(said) <= max(len(body), 10_000)


@pytest.mark.parametrize("media_type", [*BODIES, "text/xml", "text/html", ""])
async def test_no_file_and_no_page_is_read_for_an_entity(
    media_type: str, reader: ReaderPool, tmp_path: Path, web: LoopbackWeb
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("marked-secret")
    head = (
        f'<!DOCTYPE x SYSTEM "{web.url}/x.dtd" [<!ENTITY file SYSTEM "{secret.as_uri()}">'
        f'<!ENTITY page SYSTEM "{web.url}/page"><!ENTITY % more SYSTEM "{web.url}/more">%more;]>'
    )
    for body in BODIES.values():
        document = (head + body.format("&file;&page;")).encode()
        assert "marked-secret" not in await read(reader, document, media_type)
    assert web.requests == []


async def read(reader: ReaderPool, body: bytes, media_type: str) -> str:
    """The text, or why there is none."""
    deadline = anyio.current_time() + SECONDS
    try:
        return (await reader.read(DocumentSource(body, URL, media_type), deadline=deadline)).text
    except ToolError as error:
        return str(error)
