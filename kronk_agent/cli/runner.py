"""The one place that starts the event loop, and what signals do while it runs."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import anyio
import click

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the polite request to end, and the terminal's window being closed."""


class Interrupts:
    """Who is told of Ctrl-C: the innermost handler, or the whole program when there is none."""

    def __init__(self, program: anyio.CancelScope) -> None:
        self._program = program
        self._handlers: list[Callable[[], None]] = []
        self.exit_code = 0
        """What the shell is told when the program ends."""

    @contextmanager
    def handled_by(self, handler: Callable[[], None]) -> Iterator[None]:
        """Ctrl-C calls the handler, and no longer ends the program, inside the block."""
        self._handlers.append(handler)
        try:
            yield
        finally:
            self._handlers.remove(handler)

    async def watch(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Deal with signals until one of them ends the program."""
        async for number in signals:
            if number == signal.SIGINT and self._handlers:
                self._handlers[-1]()
                continue
            # Closing can wait for a model that is loading; the next signal ends it at once.
            signal.signal(number, signal.SIG_DFL)
            self.exit_code = 128 + number
            self._program.cancel()
            return


def run(main: Callable[[Interrupts], Awaitable[int]]) -> NoReturn:
    """Run a command and exit with its code. A signal cancels it, so all it opened is closed."""
    raise click.exceptions.Exit(anyio.run(_run, main))


async def _run(main: Callable[[Interrupts], Awaitable[int]]) -> int:
    program = anyio.CancelScope()
    interrupts = Interrupts(program)
    with anyio.open_signal_receiver(*_ENDING) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupts.watch, signals)
            with program:
                interrupts.exit_code = await main(interrupts)
            tasks.cancel_scope.cancel()
    return interrupts.exit_code
