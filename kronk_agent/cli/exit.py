"""Process exit that a running tool thread cannot delay."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from typing import NoReturn

_THREAD_GRACE_SECONDS = 0.5
"""Time given to threads that are about to end by themselves."""


def leave(exit_code: int) -> NoReturn:
    """Exit with ``exit_code``, without waiting for threads that are still running.

    Python waits for non-daemon threads at exit, but a plain function that a model called and whose
    result was abandoned cannot be stopped. With such threads the process ends at once.
    """
    if not _has_running_threads():
        sys.exit(exit_code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or None
            stream.flush()
    os._exit(exit_code)


def _has_running_threads() -> bool:
    deadline = time.monotonic() + _THREAD_GRACE_SECONDS
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            return True
    return False
