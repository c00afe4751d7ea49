"""Images and sounds as they stand in a request. Nothing is fetched."""

from __future__ import annotations

import base64
import re
from typing import Literal

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import AudioPart, ImagePart

_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,")
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def image_at(url: str | None, place: str) -> ImagePart:
    """The image of a ``data:`` URL.

    Raises:
        InvalidRequestError: it is another URL, or what it holds is not base64.
    """
    found = _DATA_URL.match(url or "")
    if url is None or found is None:
        raise InvalidRequestError(
            f"{place}: must be data:image/…;base64,… with the image in it; nothing is fetched",
            param=place,
        )
    return ImagePart(decoded(url[found.end() :], place), found[1])


def audio_in(data: str, format: Literal["wav", "mp3"], place: str) -> AudioPart:
    """A sound as OpenAI has it, with its data at ``place``.

    Raises:
        InvalidRequestError: it is not base64.
    """
    return AudioPart(decoded(data, place), _AUDIO_TYPES[format])


def decoded(data: str, place: str) -> bytes:
    """The bytes that base64 stands for.

    Raises:
        InvalidRequestError: it is not base64.
    """
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise InvalidRequestError(f"{place}: is not base64: {error}", param=place) from None
