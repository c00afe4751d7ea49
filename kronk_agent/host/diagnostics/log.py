from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import platformdirs

from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.diagnostics.last_words import last_words

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
"""A log that is larger becomes ``NAME.log.1``, and that ``NAME.log.2``; older ones are dropped."""
NUM_OLD = 2

_TAIL_BYTES = 64 * 1024


def log_directory() -> Path:
    """The person's own folder of logs, with NAME.log for each server."""
    return platformdirs.user_log_path("kronk-agent", appauthor=False) / "mcp"


class ServerLog:
    """The file that gets what a server writes to its stderr, so that the terminal does not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0
        self._has_warned = False

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """For the life of one process; what earlier ones wrote stays in the file.

        Raises:
            ServerUnavailableError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # servers print what they please, secrets included
            self.keep_small()
            file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise ServerUnavailableError(
                f"cannot write the log {self.path}: {error.strerror}"
            ) from error
        with file:
            self._start = file.tell()
            yield file

    def write(self, line: str) -> None:
        """Add a line of our own, such as a message that came by the protocol."""
        if self.path.is_file():
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def keep_small(self) -> None:
        """Rotate the log if it is full. Where that fails it stays, and the server runs on."""
        try:
            self._rotate_if_full()
        except OSError as error:
            if not self._has_warned:
                logger.warning("the log %s cannot be rotated: %s", self.path, error.strerror)
            self._has_warned = True

    def _rotate_if_full(self) -> None:
        """Keep the size within bounds, also while a program is writing.

        The program holds the file open, so its content is copied away and the file emptied: it was
        opened for appending, so the next line lands at the beginning.
        """
        if not self.path.is_file() or self.path.stat().st_size <= MAX_BYTES:
            return
        for number in range(NUM_OLD, 1, -1):
            younger = self._old(number - 1)
            if younger.is_file():
                younger.replace(self._old(number))
        with self.path.open("rb") as file:
            file.seek(-MAX_BYTES, os.SEEK_END)  # what is more was written since the last look
            self._old(1).touch(mode=0o600)
            self._old(1).write_bytes(file.read())
        os.truncate(self.path, 0)
        self._start = 0

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def tail(self) -> str:
        """Why the latest process ended, as far as its last lines say; empty if it wrote none."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        return last_words(text)
