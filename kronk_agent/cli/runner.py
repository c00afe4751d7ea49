"""Starts the event loop and handles signals while a command runs."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import anyio
import click

_TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a request to terminate, and the closing of the terminal window."""


class Interrupts:
    """Routes Ctrl-C to the innermost handler, or ends the program if none is registered."""

    def __init__(self, program: anyio.CancelScope) -> None:
        self._program = program
        self._handlers: list[Callable[[], None]] = []
        self.exit_code = 0
        """The exit code of the program."""

    @contextmanager
    def handled_by(self, handler: Callable[[], None]) -> Iterator[None]:
        """Inside the block, Ctrl-C calls ``handler`` instead of ending the program."""
        self._handlers.append(handler)
        try:
            yield
        finally:
            self._handlers.remove(handler)

    async def watch(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Handle signals until one of them ends the program."""
        async for number in signals:
            if number == signal.SIGINT and self._handlers:
                self._handlers[-1]()
                continue
            # Cleanup may wait for a model that is loading; the next signal ends the program.
            signal.signal(number, signal.SIG_DFL)
            self.exit_code = 128 + number
            self._program.cancel()
            return


def run(main: Callable[[Interrupts], Awaitable[int]]) -> NoReturn:
    """Run a command and exit with its code.

    On a termination signal the command is cancelled, so that everything it opened is closed.

    Raises:
        click.exceptions.Exit: always.
    """
    raise click.exceptions.Exit(anyio.run(_run, main))


async def _run(main: Callable[[Interrupts], Awaitable[int]]) -> int:
    program = anyio.CancelScope()
    interrupts = Interrupts(program)
    with anyio.open_signal_receiver(*_TERMINATION_SIGNALS) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupts.watch, signals)
            with program:
                interrupts.exit_code = await main(interrupts)
            tasks.cancel_scope.cancel()
    return interrupts.exit_code
