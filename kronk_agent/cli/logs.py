"""What of the log a person sees: our warnings; with ``--debug`` everything, libraries' too."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.redaction import redacted


@contextmanager
def logging_to_stderr(*, debug: bool) -> Iterator[None]:
    """Show the log on stderr inside the block, in place of what an outer block shows."""
    root = logging.getLogger()
    outer = [handler for handler in root.handlers if isinstance(handler, _ToStderr)]
    handler = _ToStderr()
    if debug:
        handler.setFormatter(_Printable("%(levelname)s %(name)s: %(message)s"))
    else:
        handler.addFilter(_is_ours)
        handler.setFormatter(_OneLine())
    previous = root.level
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    for replaced in outer:
        root.removeHandler(replaced)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for replaced in outer:
            root.addHandler(replaced)
        root.setLevel(previous)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0].startswith("kronk_")


class _ToStderr(logging.StreamHandler[TextIO]):
    """Ours, among others that may be there."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line that cannot be written: Python would show it as it is, with its secrets."""


class _Printable(logging.Formatter):
    """Servers have a say in what is logged: none of it changes the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(printable(super().format(record)))


class _OneLine(logging.Formatter):
    """The message alone, like every other line the program says; never a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = redacted(printable(" ".join(record.getMessage().split())))
        return f"{record.levelname.lower()}: {message}"
