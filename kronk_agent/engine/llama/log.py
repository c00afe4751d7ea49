"""Forwards llama.cpp's log to Python logging and collects the errors of a call."""

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
"""Logged if the KV cache is full of cached prompts; the scheduler evicts some and tries again."""


class _Collector(threading.local):
    errors: list[str] | None = None


_collector = _Collector()


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _forward(level: int, text: bytes | None, _: object) -> None:
    """Log a line one level lower than llama.cpp: its errors become exceptions of ours."""
    line = (text or b"").decode("utf-8", "replace").strip()
    if not line.strip("."):
        return
    shown = logging.DEBUG if _EXPECTED_ERROR in line else _LEVELS.get(level, logging.DEBUG)
    _logger.log(shown, "%s", line)
    if level == _ERROR and _collector.errors is not None:
        _collector.errors.append(line.partition(": ")[2] or line)  # without the function's name


def forward_log() -> None:
    """Send llama.cpp's log to the logger ``kronk_agent.engine.llama_cpp``, not the terminal."""
    llama.llama_log_set(_forward, None)


@contextmanager
def collect_errors() -> Iterator[list[str]]:
    """Collect llama.cpp's error lines on this thread while the block runs, oldest first."""
    errors: list[str] = []
    _collector.errors = errors
    try:
        yield errors
    finally:
        _collector.errors = None
