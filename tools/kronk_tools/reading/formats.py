"""Which reader a body needs."""

from __future__ import annotations

import dataclasses
import re

from kronk_agent.errors import ToolError
from kronk_tools.fetching.charset import decode
from kronk_tools.reading.document import MAX_LINKS, Document, Source
from kronk_tools.text import clean

_HTML = ("text/html", "application/xhtml+xml")
_PDF = "application/pdf"
_SAYS_NOTHING = ("", "application/octet-stream", "binary/octet-stream", "application/x-download")
"""Types that servers give when they do not know, or to have a file saved: the bytes say more."""
_BINARY = re.compile(
    r"(?:audio|font)/|video/(?!mp2t)"  # servers take TypeScript's .ts for mp2t
    r"|application/(?:.*\b(?:zip|gzip|bzip2?|compressed|tar|7z\S*|rar|xz|zstd|lz4|java-archive|jar)$"
    r"|wasm|msword|vnd\.(?:ms-|openxmlformats|oasis|apple|android|debian|rar|sqlite)|epub|x-iso"
    r"|x-msdownload|x-dosexec|x-executable|x-sharedlib|x-shockwave-flash|font|x-font|ogg|mp4)"
)
"""Types that are known to be no text, so that their bytes are not fetched."""
_PLAIN = ("application/json", "text/csv", "text/markdown", "text/plain")
_XML = ("application/xml", "text/xml", "application/rss+xml", "application/atom+xml")
_IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
"""Those that models with eyes take, and how their bytes begin."""
_FEED_ROOT = re.compile(
    r"(?:\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*<(?:\w+:)?(?:rss|feed|RDF)\b",
    re.DOTALL,
)
_HTML_ROOT = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`|\\^{}\[\]()]{4,2000}[^\s<>\"'`|\\^{}\[\]().,;:!?*]")
_LOOKED_AT = 4_096
_PDF_LOOKED_AT = 1_024


def is_readable(media_type: str) -> bool:
    """Whether documents of this type may be readable: all but those known to be none."""
    if media_type.startswith("image/"):
        return media_type in _IMAGES or media_type.endswith("+xml")
    return _BINARY.match(media_type) is None


def recognized(source: Source) -> Source:
    """The source with the type that its first bytes show, where the one it says tells less."""
    kind = _kind_of(source.body)
    if kind is None or source.media_type == kind:
        return source
    is_other_image = kind in _IMAGES and source.media_type in _IMAGES
    if source.media_type in _SAYS_NOTHING or kind == _PDF or is_other_image:
        return dataclasses.replace(source, media_type=kind)
    return source


def _kind_of(body: bytes) -> str | None:
    """The type of a PDF or an image."""
    if body[:_PDF_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-"):
        return _PDF
    for media_type, signature in _IMAGES.items():
        if body.startswith(signature) and (media_type != "image/webp" or body[8:12] == b"WEBP"):
            return media_type
    return None


def is_image(source: Source) -> bool:
    """Whether it is an image that a model can be shown.

    Raises:
        ToolError: it says that it is one, and is not.
    """
    if source.media_type not in _IMAGES:
        return False
    if not source.body.startswith(_IMAGES[source.media_type]):
        raise ToolError(
            f"{source.url} says that it is {source.media_type}, and is not: use another source"
        )
    return True


def is_plain(source: Source) -> bool:
    """Whether its text is there for the taking, so that reading it neither takes long nor fails."""
    if _is_pdf(recognized(source)):
        return False
    return source.format == "raw" or source.media_type in _PLAIN


def read(source: Source) -> Document:
    """The document in a body. Works long and blocks.

    Raises:
        ToolError: the body has no text in it.
    """
    source = recognized(source)
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
    return _as_it_is(text, source)


def _is_pdf(source: Source) -> bool:
    return source.media_type == _PDF


def _is_html(source: Source, text: str) -> bool:
    if source.media_type in _XML:
        return _HTML_ROOT.match(text, 0, _LOOKED_AT) is not None
    says_nothing = source.media_type in _SAYS_NOTHING
    return source.media_type in _HTML or (says_nothing and text.lstrip().startswith("<"))


def _is_feed(source: Source, text: str) -> bool:
    may_be = source.media_type in (*_SAYS_NOTHING, *_XML) or source.media_type.endswith("+xml")
    return may_be and _FEED_ROOT.match(text, 0, _LOOKED_AT) is not None


def _as_it_is(text: str, source: Source) -> Document:
    text = clean(text)
    if not text:
        raise ToolError(f"{source.url} has no text to read: use another source")
    links = tuple(dict.fromkeys(_ADDRESS.findall(text)))[:MAX_LINKS]
    if source.format == "links":
        return Document("\n".join(links) or "(no links)", links=links)
    return Document(text, links=links)
