"""The end of the program, which no thread of a tool may hold up."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from typing import NoReturn

_PATIENCE_SECONDS = 0.5
"""For threads that are about to end by themselves."""


def leave(exit_code: int) -> NoReturn:
    """End the program: as usual, or at once where a thread goes on running.

    Python would wait for the thread, and a plain function that a model called and nobody waits for
    any more cannot be stopped.
    """
    if not _has_running_threads():
        sys.exit(exit_code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not there
            stream.flush()
    os._exit(exit_code)


def _has_running_threads() -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            return True
    return False
