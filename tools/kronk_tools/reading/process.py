"""Reading of documents in separate processes.

A thread cannot be stopped, and some pages keep libxml2 or pypdf busy for minutes, on purpose. A
process can be killed at the deadline, frees its memory when it ends, and does not block the thread
of the model. A reused process adds 0.2 ms to a page; a new one, 0.4 s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from contextlib import suppress

from anyio import CancelScope, CapacityLimiter, to_thread

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, DocumentSource

_MAX_PROCESSES = 2
_INHERITED_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP")
"""Environment variables that are passed on. The others may contain secrets, which parsers of
untrusted data do not need."""


class ReaderPool:
    """Pool of at most two reader processes. Idle processes end by themselves."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_MAX_PROCESSES)
        self._idle: list[subprocess.Popen[bytes]] = []
        self._close = weakref.finalize(self, _end_all, self._idle)

    async def read(self, source: DocumentSource, *, deadline: float) -> Document:
        """Read a document.

        Args:
            source: the document.
            deadline: event loop time in seconds.

        Raises:
            ToolError: the document contains no text, or was not read by the deadline.
        """
        with CancelScope(deadline=deadline):
            async with self._limiter:
                return await self._read_in_process(source)
        raise ToolError(f"{source.url} takes too long to read: use another source")

    async def _read_in_process(self, source: DocumentSource) -> Document:
        while True:
            is_new = not self._idle
            process = await to_thread.run_sync(_start) if is_new else self._idle.pop()
            try:
                reply = await to_thread.run_sync(_exchange, process, source, abandon_on_cancel=True)
            except BaseException:
                with CancelScope(shield=True):
                    await to_thread.run_sync(_end, process)
                raise
            if reply:
                self._idle.append(process)
                return _document(reply)
            await to_thread.run_sync(_end, process)
            if is_new:
                raise ToolError(
                    f"{source.url} cannot be read: the program that reads it broke down; "
                    "use another source"
                )


def _start() -> subprocess.Popen[bytes]:
    env = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "kronk_tools.reading.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**env, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # not interrupted by Ctrl-C; ends when its stdin is closed
    )


def _exchange(process: subprocess.Popen[bytes], source: DocumentSource) -> bytes:
    """Send a document and return the reply; empty if the process is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    job = {
        "num_bytes": len(source.body),
        "url": source.url,
        "media_type": source.media_type,
        "charset": source.charset,
        "format": source.format,
    }
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n" + source.body)
        process.stdin.flush()
        return process.stdout.readline()
    except (OSError, ValueError):  # ValueError: its pipes were closed meanwhile
        return b""


def _document(reply: bytes) -> Document:
    answer = json.loads(reply)
    if "refusal" in answer:
        raise ToolError(answer["refusal"])
    fields = answer["document"]
    return Document(**{**fields, "links": tuple(fields["links"])})


def _end_all(processes: list[subprocess.Popen[bytes]]) -> None:
    while processes:
        _end(processes.pop())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(OSError), process:  # closes the pipes that are open, and waits for it
        pass
