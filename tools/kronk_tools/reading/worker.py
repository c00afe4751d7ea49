"""Reader process: ``python -m kronk_tools.reading.worker``.

Reads jobs from stdin, each a line of JSON and a body, and writes one line of JSON per job to
stdout. Ends when stdin is closed, or after being idle for a while.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from contextlib import suppress
from typing import BinaryIO

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_tools.reading.document import DocumentSource
from kronk_tools.reading.formats import read

_MAX_MEMORY_BYTES = 2_000_000_000
_IDLE_SECONDS = 120.0


def main() -> None:
    """Process jobs until stdin is closed."""
    _limit_memory()
    jobs, replies = sys.stdin.buffer, _take_stdout()
    while True:
        idle = threading.Timer(_IDLE_SECONDS, os._exit, [0])
        idle.daemon = True
        idle.start()
        line = jobs.readline()
        idle.cancel()
        if not line:
            return
        job = json.loads(line)
        body = jobs.read(job.pop("num_bytes"))
        reply = _reply(DocumentSource(body, **job))
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _reply(source: DocumentSource) -> JsonObject:
    try:
        return {"document": dataclasses.asdict(read(source))}
    except ToolError as error:
        return {"refusal": str(error)}
    except MemoryError:
        return {"refusal": f"{source.url} needs too much memory to be read: use another source"}
    except Exception as error:  # noqa: BLE001  # boundary: parsers fail in any way on odd files
        message = f"{source.url} cannot be read ({type(error).__name__}): use another source"
        return {"refusal": message}


def _take_stdout() -> BinaryIO:
    """Reserve stdout for replies; anything that libraries print is discarded."""
    channel = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), 1)
    return channel


def _limit_memory() -> None:
    """Limit the memory, so that a malicious page only crashes this process."""
    with suppress(
        ImportError, ValueError, OSError
    ):  # not supported everywhere, and a lower limit may be set
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))


if __name__ == "__main__":
    main()
