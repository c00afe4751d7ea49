"""Log output on stderr: our warnings by default; with ``--debug`` all records of all libraries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.redaction import redacted


@contextmanager
def logging_to_stderr(*, debug: bool) -> Iterator[None]:
    """Log to stderr inside the block, replacing the handler of an outer block.

    Args:
        debug: log every record with its level and logger; otherwise only warnings of our packages.
    """
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
    """Our stderr handler, a class of its own so that it can be told from others."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a record that cannot be written: Python would print it with its secrets."""


class _Printable(logging.Formatter):
    """Formatter that strips control characters: MCP servers influence the log text."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(printable(super().format(record)))


class _OneLine(logging.Formatter):
    """Formatter that prints the level and the message on one line, without a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = redacted(printable(" ".join(record.getMessage().split())))
        return f"{record.levelname.lower()}: {message}"
