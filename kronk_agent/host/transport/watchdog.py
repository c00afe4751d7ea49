"""Watchdog that ends a server's program when this process is killed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcp import StdioServerParameters
from mcp.client.stdio import get_default_environment

_GUARD = Path(__file__).with_name("guard.py")
_SHELL = "/bin/sh"
_LOCALE = "LC_CTYPE"
"""Python sets it when the locale is C (PEP 538)."""


@contextmanager
def watched(program: StdioServerParameters) -> Iterator[StdioServerParameters]:
    """Wrap the program in a watchdog that outlives this process by some seconds.

    On Windows the SDK's job object does the same. A program that cannot be started is left
    unchanged, so that the error message is its own.
    """
    if sys.platform == "win32" or not _can_be_guarded(program):
        yield program
        return
    folder = Path(tempfile.mkdtemp(prefix="kronk-agent-"))
    fifo = folder / "alive"
    try:
        os.mkfifo(fifo, 0o600)
        alive = os.open(fifo, os.O_RDWR)  # closed by the system when this process ends
    except OSError:  # a file system without FIFOs
        shutil.rmtree(folder, ignore_errors=True)
        yield program
        return
    added = "" if _LOCALE in (program.env or {}) else _LOCALE
    guard = ["-I", "-S", str(_GUARD), str(fifo), added, program.command, *program.args]
    try:
        yield program.model_copy(update={"command": sys.executable, "args": guard})
    finally:
        with suppress(OSError):
            os.write(alive, b"done\n")
        os.close(alive)
        shutil.rmtree(folder, ignore_errors=True)


def _can_be_guarded(program: StdioServerParameters) -> bool:
    if not sys.executable or not os.access(_SHELL, os.X_OK):
        return False
    command, folder = program.command, program.cwd or Path()
    if os.sep in command:
        path = Path(folder) / command
        with suppress(ValueError):  # a null byte
            return path.is_file() and os.access(path, os.X_OK) and Path(folder).is_dir()
        return False
    environment = get_default_environment() | (program.env or {})
    return shutil.which(command, path=environment.get("PATH")) is not None
