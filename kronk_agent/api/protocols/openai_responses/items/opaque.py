"""Encodes our own text as ``encrypted_content`` that clients send back.

It is opaque but not secret: a streaming client sees the same text. It is not authenticated either;
it only has to decode.
"""

from __future__ import annotations

import base64
import binascii
import zlib

from kronk_agent.errors import InvalidRequestError

_PREFIX = "kronk1."
_MAX_BYTES = 16_000_000


def pack(text: str) -> str:
    """Encode a text as opaque content."""
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(text.encode())).decode("ascii")


def unpack(packed: str, *, param: str) -> str:
    """Decode opaque content.

    Raises:
        InvalidRequestError: it was not encoded by this server.
    """
    try:
        if not packed.startswith(_PREFIX):
            raise ValueError
        reader = zlib.decompressobj()
        data = base64.urlsafe_b64decode(packed.removeprefix(_PREFIX))
        text = reader.decompress(data, _MAX_BYTES)
        if not reader.eof:
            raise ValueError
        return text.decode()
    except (ValueError, binascii.Error, zlib.error):
        raise InvalidRequestError(
            f"{param}: not written by this server: leave out the field or the item",
            param=param,
        ) from None
