"""llama.cpp's log, which goes to our logger, and its last words when a call of it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kronk_agent.engine.llama.binding import llama

_logger = logging.getLogger("kronk_agent.engine.llama_cpp")
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING}
_ERROR = 4
_EXPECTED_ERROR = "failed to find a memory slot"
"""The KV memory is full of cached prompts; the scheduler evicts some and tries again."""


class _Collector(threading.local):
    errors: list[str] | None = None


_collector = _Collector()


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _forward(level: int, text: bytes | None, _: object) -> None:
    """llama.cpp's log goes to our logger, one level lower: what it calls an error we raise."""
    line = (text or b"").decode("utf-8", "replace").strip()
    if not line.strip("."):
        return
    shown = logging.DEBUG if _EXPECTED_ERROR in line else _LEVELS.get(level, logging.DEBUG)
    _logger.log(shown, "%s", line)
    if level == _ERROR and _collector.errors is not None:
        _collector.errors.append(line.partition(": ")[2] or line)  # without the function's name


def forward_log() -> None:
    """Have llama.cpp log to ``kronk_agent.engine.llama_cpp`` instead of the terminal."""
    llama.llama_log_set(_forward, None)


@contextmanager
def collect_errors() -> Iterator[list[str]]:
    """What llama.cpp calls errors while the block runs, on this thread, oldest first."""
    errors: list[str] = []
    _collector.errors = errors
    try:
        yield errors
    finally:
        _collector.errors = None
