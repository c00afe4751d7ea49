"""Images and sounds as they stand in a request. Nothing is fetched."""

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
"""What the files of each kind of image have, and where."""
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def image_at(url: str | None, path: str) -> ImagePart:
    """The image of a ``data:`` URL.

    Raises:
        InvalidRequestError: it is another URL, or what it holds is not base64.
    """
    found = _DATA_URL.match(url or "")
    if url is None or found is None:
        raise InvalidRequestError(
            f"{path}: must be data:image/…;base64,… with the image in it; nothing is fetched",
            param=path,
        )
    return ImagePart(decoded(url[found.end() :], path), found[1])


def picture(data: str, path: str) -> ImagePart:
    """An image as Ollama has it: base64 without a word of what it is, or a ``data:`` URL.

    Raises:
        InvalidRequestError: it is not base64, or no image.
    """
    if data.startswith("data:"):
        return image_at(data, path)
    given = decoded(data, path)
    for start, at, kind in _SIGNATURES:
        if given[at : at + len(start)] == start:
            return ImagePart(given, kind)
    raise InvalidRequestError(
        f"{path}: must be a PNG, JPEG, GIF, WebP or BMP image in base64", param=path
    )


def audio_in(data: str, format: Literal["wav", "mp3"], path: str) -> AudioPart:
    """A sound as OpenAI has it, with its data at ``place``.

    Raises:
        InvalidRequestError: it is not base64.
    """
    return AudioPart(decoded(data, path), _AUDIO_TYPES[format])


def decoded(data: str, path: str) -> bytes:
    """The bytes that base64 stands for.

    Raises:
        InvalidRequestError: it is not base64.
    """
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise InvalidRequestError(f"{path}: is not base64: {error}", param=path) from None
