"""What goes to the client as ``encrypted_content`` and comes back: text of ours, packed.

It is opaque and not secret: a client that streams sees the same text. Nothing depends on it being
ours but that it can be read again.
"""

from __future__ import annotations

import base64
import binascii
import zlib

from kronk_agent.errors import InvalidRequestError

_PREFIX = "kronk1."
_MAX_BYTES = 16_000_000


def pack(text: str) -> str:
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(text.encode())).decode("ascii")


def unpack(packed: str, *, param: str) -> str:
    """The inverse of ``pack``.

    Raises:
        InvalidRequestError: it is another server's.
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
            f"{param}: not written by this server: leave the item out, or send it without",
            param=param,
        ) from None
