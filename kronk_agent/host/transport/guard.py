"""Starts a program next to a watchdog: ``python -I -S guard.py FIFO VARIABLE COMMAND [ARG...]``.

The watchdog is a shell in the program's process group. It waits for a line from the FIFO. If the
FIFO's writers disappear without sending one, they were killed, and the watchdog ends the group. The
program replaces this process. VARIABLE is one that starting Python may have added to the
environment, or "".
"""

from __future__ import annotations

import os
import signal
import sys

_WATCH = """
read -r word && exit
rm -f "$1"; rmdir "${1%/*}"
trap '' HUP INT TERM
sleep 2; kill -TERM 0
sleep 2; kill -KILL 0
"""
"""A program that reads its stdin has two seconds to notice that its parent is gone."""


def _watch(fifo: str) -> None:
    """Fork the watchdog; if the FIFO has no writers, it acts at once."""
    waiting = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(waiting, True)
    if os.fork() == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for source, target in ((waiting, 0), (nowhere, 1), (nowhere, 2)):
            os.dup2(source, target)
        os.execv("/bin/sh", ["kronk-agent-watchdog", "-c", _WATCH, "watchdog", fifo])
    os.close(waiting)


def main() -> None:
    """Start the watchdog, then become the program."""
    fifo, added, *command = sys.argv[1:]
    _watch(fifo)
    os.environ.pop(added, None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and children inherit that
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {command[0]!r}: {error.strerror}")


if __name__ == "__main__":
    main()
