from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import platformdirs

from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.diagnostics.exit_reason import exit_reason

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
"""A larger log is rotated to ``NAME.log.1``, and that to ``NAME.log.2``; older ones are deleted."""
NUM_OLD = 2

_TAIL_BYTES = 64 * 1024


def log_directory() -> Path:
    """The user's log directory, with NAME.log for each server."""
    return platformdirs.user_log_path("kronk-agent", appauthor=False) / "mcp"


class ServerLog:
    """Log file of a server's stderr, which keeps it off the terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0
        self._has_warned = False

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the log for one process; earlier output is kept.

        Raises:
            ServerUnavailableError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # servers may print secrets
            self.rotate_if_full()
            file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise ServerUnavailableError(
                f"cannot write the log {self.path}: {error.strerror}"
            ) from error
        with file:
            self._start = file.tell()
            yield file

    def write(self, line: str) -> None:
        """Append a line, such as a log message received over the protocol."""
        if self.path.is_file():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def rotate_if_full(self) -> None:
        """Rotate the log if it is full. If that fails, it keeps growing."""
        try:
            self._rotate()
        except OSError as error:
            if not self._has_warned:
                logger.warning("cannot rotate the log %s: %s", self.path, error.strerror)
            self._has_warned = True

    def _rotate(self) -> None:
        """Limit the size, even while a program is writing.

        The program holds the file open, so its content is copied and the file truncated. It was
        opened for appending, so the next line is written at the beginning.
        """
        if not self.path.is_file() or self.path.stat().st_size <= MAX_BYTES:
            return
        for number in range(NUM_OLD, 1, -1):
            younger = self._old(number - 1)
            if younger.is_file():
                younger.replace(self._old(number))
        with self.path.open("rb") as file:
            file.seek(-MAX_BYTES, os.SEEK_END)  # older bytes exceed the limit
            self._old(1).touch(mode=0o600)
            self._old(1).write_bytes(file.read())
        os.truncate(self.path, 0)
        self._start = 0

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def tail(self) -> str:
        """Why the latest process ended, from its last lines; empty if it wrote none."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        return exit_reason(text)
