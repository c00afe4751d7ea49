"""Converts bytes that a tool returns: images and audio by magic number, else text."""

from __future__ import annotations

from kronk_agent.errors import ToolError
from kronk_agent.messages import AudioPart, ImagePart, Part, TextPart

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_SOUNDS = {
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
}
_RIFF_TYPES = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


def part_of(data: bytes) -> Part:
    """Convert the bytes to a message part.

    Raises:
        ToolError: neither an image nor audio of a known format, nor UTF-8 text.
    """
    media_type = media_type_of(data)
    if media_type is None:
        try:
            return TextPart(data.decode())
        except UnicodeDecodeError:
            raise ToolError(
                f"it returned {len(data):,} bytes that are neither text, image nor sound: "
                "return text, or an ImagePart or AudioPart with its media type"
            ) from None
    if media_type.startswith("image/"):
        return ImagePart(data, media_type)
    return AudioPart(data, media_type)


def media_type_of(data: bytes) -> str | None:
    """Detect the media type of an image or audio by its magic number; None if unknown."""
    if data[:4] == b"RIFF":
        return _RIFF_TYPES.get(data[8:12])
    media_types = {**_IMAGES, **_SOUNDS}
    return next((media_types[start] for start in media_types if data.startswith(start)), None)
