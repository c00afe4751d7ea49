"""The process that reads: ``python -m kronk_tools.reading.worker``.

On stdin comes, again and again, a line of JSON and a body; on stdout goes a line of JSON for each.
It ends when stdin does, or when it had nothing to do for a while.
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
from kronk_tools.reading.document import Source
from kronk_tools.reading.formats import read

_MAX_MEMORY_BYTES = 2_000_000_000
_IDLE_SECONDS = 120.0


def main() -> None:
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
        reply = _reply(Source(body, **job))
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _reply(source: Source) -> JsonObject:
    try:
        return {"document": dataclasses.asdict(read(source))}
    except ToolError as error:
        return {"refusal": str(error)}
    except MemoryError:
        return {"refusal": f"{source.url} needs too much memory to be read: use another source"}
    except Exception as error:  # noqa: BLE001  # boundary: parsers fail in any way on odd files
        words = f"{source.url} cannot be read ({type(error).__name__}): use another source"
        return {"refusal": words}


def _take_stdout() -> BinaryIO:
    """The channel for replies; whatever a library prints goes nowhere."""
    channel = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    return channel


def _limit_memory() -> None:
    """So that a page made to eat memory takes this process down and no other."""
    with suppress(ImportError, ValueError, OSError):  # not everywhere, and a limit may be set
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))


if __name__ == "__main__":
    main()
