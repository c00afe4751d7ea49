"""Lenient base64: with line breaks, as a data URL, without padding, or URL-safe."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

_DATA_URL = re.compile(r"\s*data:(?P<kind>[\w.+/-]*)[^,]{0,200},", re.IGNORECASE)
_OTHER_LETTERS = str.maketrans("-_", "+/", "= \t\r\n\f\v\"'")


def decode(text: str) -> bytes | None:
    """Decode the text; None if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        pass
    if url := _DATA_URL.match(text):
        text = text[url.end() :]
    if "%" in text:
        text = unquote(text)
    letters = text.translate(_OTHER_LETTERS).replace("\\n", "").replace("\\r", "")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def media_type_in(text: str) -> str:
    """Media type of a data URL; empty if it has none."""
    url = _DATA_URL.match(text)
    return url["kind"].lower() if url else ""
