"""Terminal output: the answer on stdout, everything else on stderr.

Usually one screen shows both streams, so this module keeps their lines apart. It also removes
control characters from untrusted text.
"""

from __future__ import annotations

import sys
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from kronk_agent.cli.interactive.sanitize import printable

_ERASE_LINE = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))


class Terminal:
    """Writes to both streams and tracks whether either has an unfinished line."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = Console(file=stderr or sys.stderr, highlight=False)
        self._is_screen = self._stdout.isatty()
        self._has_open_answer = False
        self._has_open_aside = False
        self._has_status = False

    def answer(self, text: str) -> None:
        """Write a piece of the answer to stdout and flush; a file or pipe gets it unmodified."""
        if not text:
            return
        self._clear_status()
        self._end_aside()
        self._stdout.write(printable(text) if self._is_screen else text)
        self._stdout.flush()
        self._has_open_answer = not text.endswith("\n")

    def end_answer(self) -> None:
        """End the last line of the answer."""
        if self._has_open_answer:
            self._stdout.write("\n")
            self._stdout.flush()
        self._has_open_answer = False

    def aside(self, text: str) -> None:
        """Write a piece of the model's reasoning to stderr, dimmed."""
        text = printable(text)
        if not text:
            return
        if not self._has_open_aside:
            self._start_line()
        self._stderr.out(text, style="dim", end="")
        self._has_open_aside = not text.endswith("\n")

    def say(self, text: str, *, style: str | None = None) -> None:
        """Write a line to stderr."""
        self._start_line()
        self._stderr.out(printable(text), style=style)

    def status(self, text: str) -> None:
        """Show a status line that the next output replaces; only if stderr is a terminal."""
        if not self._stderr.is_terminal or self._stderr.is_dumb_terminal:
            return
        self._start_line()
        line = " ".join(printable(text).split())
        width = min(cell_len(line), self._stderr.width - 1)
        self._stderr.out(set_cell_size(line, width), style="dim", end="")
        self._has_status = True

    def close(self) -> None:
        """End unfinished lines and clear the status line."""
        self._clear_status()
        self._end_aside()
        self.end_answer()

    def _start_line(self) -> None:
        self._clear_status()
        self._end_aside()
        # When stdout is a file or pipe, add no newline to the middle of the answer.
        if self._is_screen:
            self.end_answer()

    def _end_aside(self) -> None:
        if self._has_open_aside:
            self._stderr.out("")
        self._has_open_aside = False

    def _clear_status(self) -> None:
        if self._has_status:
            self._stderr.control(_ERASE_LINE)
        self._has_status = False
