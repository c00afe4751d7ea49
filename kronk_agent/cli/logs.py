"""What of the log a person sees: our warnings; with ``--debug`` everything, libraries' too."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_to_stderr(*, debug: bool) -> Iterator[None]:
    """Show the log on stderr inside the block."""
    root = logging.getLogger()
    handler = logging.StreamHandler()
    if debug:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    else:
        handler.addFilter(_is_ours)
        handler.setFormatter(_OneLine())
    previous = root.level
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(previous)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0].startswith("kronk_")


class _OneLine(logging.Formatter):
    """The message alone, like every other line the program says; never a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}"
