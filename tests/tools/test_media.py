"""Bytes that a tool returns."""

from __future__ import annotations

import pytest

from kronk_agent.errors import ToolError
from kronk_agent.messages import AudioPart, ImagePart, TextPart
from kronk_agent.tools import ToolOutput

PNG = b"\x89PNG\r\n\x1a\n\x00\x00"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a\x01", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_an_image_is_known_by_how_it_begins(data: bytes, media_type: str) -> None:
    assert ToolOutput.of(data) == ToolOutput((ImagePart(data, media_type),))


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x03", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"OggS\x00", "audio/ogg"),
        (b"fLaC\x00", "audio/flac"),
    ],
)
def test_so_is_sound(data: bytes, media_type: str) -> None:
    assert ToolOutput.of(data) == ToolOutput((AudioPart(data, media_type),))


@pytest.mark.parametrize("value", [b"gr\xc3\xbcn", bytearray(b"gr\xc3\xbcn"), memoryview(b"")])
def test_other_bytes_are_text(value: bytes | bytearray | memoryview) -> None:
    assert ToolOutput.of(value) == ToolOutput((TextPart(bytes(value).decode()),))


def test_bytes_of_no_known_kind_are_refused_in_words() -> None:
    with pytest.raises(ToolError, match=r"^it returned 3 bytes that are neither text, image"):
        ToolOutput.of(b"\xfe\x00\x01")


def test_bytes_within_a_value_are_text_or_base64() -> None:
    assert ToolOutput.of({"a": b"abc"}).structured == {"a": "abc"}
    assert ToolOutput.of({"a": b"\xff"}).structured == {"a": "_w=="}
