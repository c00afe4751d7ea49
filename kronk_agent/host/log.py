from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kronk_agent.errors import ServerUnavailableError

_TAIL_BYTES = 4096
_TAIL_LINES = 3


class ServerLog:
    """The file that gets what a server writes to its stderr, so that the terminal does not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """For the life of one process; what earlier ones wrote stays in the file.

        Raises:
            ServerUnavailableError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # servers print what they please, secrets included
            file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise ServerUnavailableError(
                f"cannot write the log {self.path}: {error.strerror}"
            ) from error
        with file:
            self._start = file.tell()
            yield file

    def tail(self) -> str:
        """The last lines of the latest process, in one line; empty if it wrote none."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._start, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-_TAIL_LINES:])
