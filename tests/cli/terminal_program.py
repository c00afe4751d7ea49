"""A terminal for programs that want one, with somebody to type and to watch."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

from limits import seconds

_ESCAPE_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_=>])")
_PATIENCE_SECONDS = seconds(40)


class TerminalProgram:
    """A program in a terminal: type, wait for what it shows, and see how it ends."""

    def __init__(self, *arguments: str, home: Path, stdout: Path | None = None) -> None:
        self._screen, slave = pty.openpty()
        environment = os.environ | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "TERM": "xterm-256color",
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody here answers where the cursor is
        }
        out = slave if stdout is None else os.open(stdout, os.O_CREAT | os.O_WRONLY)
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=slave,
            stdout=out,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        if stdout is not None:
            os.close(out)
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until it shows the text; gives all it showed up to there since the last time."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while text not in self._shown():
            assert self._read_more(deadline), f"{text!r} never came: {self._shown()!r}"
        before, _, after = self._shown().partition(text)
        self._unread = after
        return before + text

    def end(self) -> tuple[str, int]:
        """Wait until it ends; what it still showed, and its exit code."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._read_more(deadline):
            pass
        shown, self._unread = self._shown(), ""
        return shown, self.process.wait(timeout=_PATIENCE_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def _shown(self) -> str:
        return _ESCAPE_SEQUENCE.sub("", self._unread).replace("\r", "")

    def _read_more(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._screen], [], [], max(0, deadline - time.monotonic()))
        if not readable:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # what Linux says when the other side is closed
            return False
        self._unread += data.decode(errors="replace")
        return bool(data)
