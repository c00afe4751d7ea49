"""Selection of the reader for a document."""

from __future__ import annotations

import dataclasses
import re

from kronk_agent.errors import ToolError
from kronk_tools.fetching.charset import decode
from kronk_tools.reading.document import MAX_LINKS, Document, DocumentSource
from kronk_tools.text import clean

_HTML = ("text/html", "application/xhtml+xml")
_PDF = "application/pdf"
_GENERIC_TYPES = ("", "application/octet-stream", "binary/octet-stream", "application/x-download")
"""Types that servers send if they do not know, or to trigger a download: the content decides."""
_BINARY = re.compile(
    r"(?:audio|font)/|video/(?!mp2t)"  # servers mistake TypeScript's .ts for mp2t
    r"|application/(?:.*\b(?:zip|gzip|bzip2?|compressed|tar|7z\S*|rar|xz|zstd|lz4|java-archive|jar)$"
    r"|wasm|msword|vnd\.(?:ms-|openxmlformats|oasis|apple|android|debian|rar|sqlite)|epub|x-iso"
    r"|x-msdownload|x-dosexec|x-executable|x-sharedlib|x-shockwave-flash|font|x-font|ogg|mp4)"
)
"""Types that contain no text, so that they are not downloaded."""
_PLAIN = ("application/json", "text/csv", "text/markdown", "text/plain")
_XML = ("application/xml", "text/xml", "application/rss+xml", "application/atom+xml")
_IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""Image types that vision models accept, and their signatures."""
_FEED_ROOT = re.compile(
    r"(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*<(?:\w+:)?(?:rss|feed|RDF)\b",
    re.DOTALL,
)
_HTML_ROOT = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\[\]()]{4,2000}[^\s<>\"'`|\\^{}\[\]().,;:!?*]")
_SNIFFED_CHARS = 4_096
_PDF_SNIFFED_BYTES = 1_024


def is_readable(media_type: str) -> bool:
    """True unless documents of this type are known not to be readable."""
    if media_type.startswith("image/"):
        return media_type in _IMAGES or media_type.endswith("+xml")
    return _BINARY.match(media_type) is None


def with_detected_type(source: DocumentSource) -> DocumentSource:
    """Correct the media type from the first bytes, if the declared one is less specific."""
    detected = _detected_type(source.body)
    if detected is None or source.media_type == detected:
        return source
    is_other_image = detected in _IMAGES and source.media_type in _IMAGES
    if source.media_type in _GENERIC_TYPES or detected == _PDF or is_other_image:
        return dataclasses.replace(source, media_type=detected)
    return source


def _detected_type(body: bytes) -> str | None:
    """Media type of a PDF or an image, by its signature."""
    if body[:_PDF_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-"):
        return _PDF
    for media_type, signature in _IMAGES.items():
        if body.startswith(signature) and (media_type != "image/webp" or body[8:12] == b"WEBP"):
            return media_type
    return None


def is_image(source: DocumentSource) -> bool:
    """True if the document is an image that a model can be shown.

    Raises:
        ToolError: it is declared as an image, but is not one.
    """
    if source.media_type not in _IMAGES:
        return False
    if not source.body.startswith(_IMAGES[source.media_type]):
        raise ToolError(
            f"{source.url} says that it is {source.media_type}, and is not: use another source"
        )
    return True


def is_plain(source: DocumentSource) -> bool:
    """True if the document is plain text, so that reading it is quick and cannot fail."""
    if _is_pdf(with_detected_type(source)):
        return False
    return source.format == "raw" or source.media_type in _PLAIN


def read(source: DocumentSource) -> Document:
    """Read a document. Slow and blocking.

    Raises:
        ToolError: the document contains no text.
    """
    source = with_detected_type(source)
    if _is_pdf(source):
        from kronk_tools.reading.pdf import read_pdf  # heavy

        return read_pdf(source)
    text = decode(source.body, source.charset)
    if "\0" in text:
        raise ToolError(f"{source.url} is not text but binary data, which cannot be read")
    if source.format != "raw":
        if _is_feed(source, text):
            from kronk_tools.reading.feed import read_feed  # heavy

            feed = read_feed(text, source.url)
            if feed is not None:
                return feed
        if _is_html(source, text):
            from kronk_tools.reading.html import read_html  # heavy

            return read_html(text, source.url, source.format)
    return _plain_document(text, source)


def _is_pdf(source: DocumentSource) -> bool:
    return source.media_type == _PDF


def _is_html(source: DocumentSource, text: str) -> bool:
    if source.media_type in _XML:
        return _HTML_ROOT.match(text, 0, _SNIFFED_CHARS) is not None
    is_generic = source.media_type in _GENERIC_TYPES
    return source.media_type in _HTML or (is_generic and text.lstrip().startswith("<"))


def _is_feed(source: DocumentSource, text: str) -> bool:
    may_be = source.media_type in (*_GENERIC_TYPES, *_XML) or source.media_type.endswith("+xml")
    return may_be and _FEED_ROOT.match(text, 0, _SNIFFED_CHARS) is not None


def _plain_document(text: str, source: DocumentSource) -> Document:
    text = clean(text)
    if not text:
        raise ToolError(f"{source.url} has no text to read: use another source")
    links = tuple(dict.fromkeys(_ADDRESS.findall(text)))[:MAX_LINKS]
    if source.format == "links":
        return Document("\n".join(links) or "(no links)", links=links)
    return Document(text, links=links)
