"""Images and audio embedded in a request. Nothing is fetched."""

from __future__ import annotations

import base64
import re
from typing import Literal

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import AudioPart, ImagePart

_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"BM", 0, "image/bmp"),
)
"""Magic bytes of image formats, and their offsets."""
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def image_at(url: str | None, path: str) -> ImagePart:
    """Decode the image of a ``data:`` URL.

    Raises:
        InvalidRequestError: it is not a ``data:`` URL, or not base64.
    """
    found = _DATA_URL.match(url or "")
    if url is None or found is None:
        raise InvalidRequestError(
            f"{path}: must be a data:image/…;base64,… URL; images are not fetched",
            param=path,
        )
    return ImagePart(decoded(url[found.end() :], path), found[1])


def picture(data: str, path: str) -> ImagePart:
    """Decode an image as Ollama sends it: plain base64, or a ``data:`` URL.

    Raises:
        InvalidRequestError: it is not base64, or not an image.
    """
    if data.startswith("data:"):
        return image_at(data, path)
    given = decoded(data, path)
    for start, at, kind in _SIGNATURES:
        if given[at : at + len(start)] == start:
            return ImagePart(given, kind)
    raise InvalidRequestError(
        f"{path}: must be a base64-encoded PNG, JPEG, GIF, WebP or BMP image", param=path
    )


def audio_in(data: str, format: Literal["wav", "mp3"], path: str) -> AudioPart:
    """Decode audio as OpenAI sends it, from the field at ``path``.

    Raises:
        InvalidRequestError: it is not base64.
    """
    return AudioPart(decoded(data, path), _AUDIO_TYPES[format])


def decoded(data: str, path: str) -> bytes:
    """Decode base64.

    Raises:
        InvalidRequestError: it is not base64.
    """
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise InvalidRequestError(f"{path}: invalid base64: {error}", param=path) from None
