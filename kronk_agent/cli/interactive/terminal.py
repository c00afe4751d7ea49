"""Where output goes: the answer to stdout, everything else to stderr.

Most of the time one screen shows both, so this keeps them from running into each other's lines,
and keeps text from outside from steering the screen.
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
    """Writes both streams and knows whether a line of either is unfinished."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = Console(file=stderr or sys.stderr, highlight=False)
        self._is_screen = self._stdout.isatty()
        self._has_open_answer = False
        self._has_open_aside = False
        self._has_status = False

    def answer(self, text: str) -> None:
        """More of the answer, on stdout at once; a file or pipe gets it exactly as it is."""
        if not text:
            return
        self._clear_status()
        self._end_aside()
        self._stdout.write(printable(text) if self._is_screen else text)
        self._stdout.flush()
        self._has_open_answer = not text.endswith("\n")

    def end_answer(self) -> None:
        """Finish the answer's last line."""
        if self._has_open_answer:
            self._stdout.write("\n")
            self._stdout.flush()
        self._has_open_answer = False

    def aside(self, text: str) -> None:
        """More of what the model thinks, dimmed, on stderr."""
        text = printable(text)
        if not text:
            return
        if not self._has_open_aside:
            self._start_line()
        self._stderr.out(text, style="dim", end="")
        self._has_open_aside = not text.endswith("\n")

    def say(self, text: str, *, style: str | None = None) -> None:
        """A whole line on stderr."""
        self._start_line()
        self._stderr.out(printable(text), style=style)

    def status(self, text: str) -> None:
        """What is going on right now: a line that the next output replaces. Screens only."""
        if not self._stderr.is_terminal or self._stderr.is_dumb_terminal:
            return
        self._start_line()
        line = " ".join(printable(text).split())
        width = min(cell_len(line), self._stderr.width - 1)
        self._stderr.out(set_cell_size(line, width), style="dim", end="")
        self._has_status = True

    def close(self) -> None:
        """Leave the cursor at the start of a line."""
        self._clear_status()
        self._end_aside()
        self.end_answer()

    def _start_line(self) -> None:
        self._clear_status()
        self._end_aside()
        # A file gets no newline the model did not write in the middle of its answer.
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
