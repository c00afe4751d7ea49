"""Decoding of pages, whatever charset their server declares."""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
_PRESCAN_BYTES = 1024
_GUESS_BYTES = 65_536

# Only these, so that a page cannot select a codec that is not meant for text (punycode,
# unicode_escape …). The values are the codecs that browsers use for these names.
_CODECS = {
    **{f"cp{number}": f"cp{number}" for number in (866, 874, 932, 949, *range(1250, 1259))},
    **{f"iso8859-{part}": f"iso8859-{part}" for part in (*range(2, 9), 10, 13, 14, 15, 16)},
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "euc_jp": "euc_jp",
    "euc_kr": "cp949",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022_jp": "iso2022_jp",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "mac-cyrillic": "mac-cyrillic",
    "mac-roman": "mac-roman",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "utf-8": "utf-8",
    "utf-16": "utf-16-le",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
}
# Text in these is also valid UTF-8, so trying UTF-8 first would hide them.
_LOOK_LIKE_UTF8 = ("iso2022_jp", "utf-16-le", "utf-16-be")


def decode(body: bytes, http_charset: str | None = None) -> str:
    """Decode a page, given the charset of its Content-Type, if any.

    A byte order mark decides. Next comes UTF-8 if the bytes are valid UTF-8, since servers often
    declare another charset for UTF-8, while text is rarely valid UTF-8 by accident. Then the
    server's charset, then the page's own, then a guess.
    """
    for mark, codec in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(codec, "replace")
    declared = [codec for codec in (_codec(http_charset), _codec(_declared_in(body))) if codec]
    if declared and declared[0] in _LOOK_LIKE_UTF8:
        return body.decode(declared[0], "replace")
    text = _as_utf8(body)
    if text is not None:
        return text
    legacy = [codec for codec in declared if codec != "utf-8"]
    codec = legacy[0] if legacy else _guess(body)
    return body.decode(codec, "replace")


def _as_utf8(body: bytes) -> str | None:
    """The text, if the bytes are UTF-8 with little or no damage; else None."""
    text = body.decode("utf-8", "replace")
    num_damaged = text.count("\ufffd")
    if num_damaged == 0:
        return text
    num_not_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if num_not_ascii > 2 * num_damaged else None


def _declared_in(body: bytes) -> str | None:
    match = _DECLARED.search(body, 0, _PRESCAN_BYTES)
    return None if match is None else (match[1] or match[2]).decode("ascii", "replace")


def _codec(label: str | None) -> str | None:
    """The codec for a charset label; None if it is unknown."""
    try:
        return None if label is None else _CODECS.get(codecs.lookup(label.strip("\"' ")).name)
    except (LookupError, ValueError):  # ValueError: a null character in the label
        return None


def _guess(body: bytes) -> str:
    from charset_normalizer import from_bytes  # heavy: 30 ms, and rarely needed

    best = from_bytes(body[:_GUESS_BYTES]).best()
    return (_codec(best.encoding) if best else None) or "cp1252"
