"""Cancellable reading of stdin, line by line.

The SDK reads stdin in a thread, and a thread waiting for a line cannot be stopped: Ctrl-C or
SIGTERM would have no effect until the client sends one.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast

import anyio

_CHUNK_BYTES = 65_536


@contextmanager
def cancellable_stdin() -> Iterator[anyio.AsyncFile[str] | None]:
    """Yield lines for ``stdio_server``; None if the platform cannot wait for stdin.

    That is the case on Windows, and if stdin is a file. Inside the block, stdin is empty for all
    other readers.
    """
    if sys.platform == "win32" or stat.S_ISREG(os.fstat(0).st_mode):
        yield None
        return
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        # The SDK only iterates over it.
        yield cast("anyio.AsyncFile[str]", _Lines(own))
    finally:
        os.dup2(own, 0)
        os.close(own)


class _Lines:
    """Iterates over the lines of a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __aiter__(self) -> AsyncIterator[str]:
        line = bytearray()
        while True:
            await anyio.wait_readable(self._descriptor)
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
            if not chunk:
                return
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                line += end
                yield line.decode("utf-8", "replace")
                line.clear()
            line += rest
