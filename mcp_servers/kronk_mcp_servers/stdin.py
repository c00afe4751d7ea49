"""stdin, line by line, in a way that can be cancelled.

The SDK reads it in a thread, and a thread that waits for a line cannot be stopped: Ctrl-C or
SIGTERM would do nothing until the client sends one.
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
    """Lines for ``stdio_server``; None where the system cannot wait for them, which is its own way.

    That is on Windows, and where stdin is a file. Inside the block nobody else can read stdin: it
    is empty for them.
    """
    if sys.platform == "win32" or stat.S_ISREG(os.fstat(0).st_mode):
        yield None
        return
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        # The SDK does nothing with it but to iterate.
        yield cast("anyio.AsyncFile[str]", _Lines(own))
    finally:
        os.dup2(own, 0)
        os.close(own)


class _Lines:
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
