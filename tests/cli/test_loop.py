from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import click
import pytest

from kronk_agent.cli.runner import Interrupts, run


def exit_code_of(main: Callable[[Interrupts], Awaitable[int]]) -> int:
    with pytest.raises(click.exceptions.Exit) as caught:
        run(main)
    return caught.value.exit_code


def test_the_exit_code_is_what_the_command_returns() -> None:
    async def main(interrupts: Interrupts) -> int:
        return 7

    assert exit_code_of(main) == 7


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_program_after_it_has_cleaned_up(number: int, code: int) -> None:
    closed: list[str] = []

    async def main(interrupts: Interrupts) -> int:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            closed.append("servers")
        return 0

    assert (exit_code_of(main), closed) == (code, ["servers"])


def test_the_innermost_handler_is_told_of_ctrl_c_and_the_program_goes_on() -> None:
    async def main(interrupts: Interrupts) -> int:
        turn_is_cancelled = anyio.Event()
        prompt_is_told = anyio.Event()
        with interrupts.handled_by(prompt_is_told.set):
            with interrupts.handled_by(turn_is_cancelled.set):
                os.kill(os.getpid(), signal.SIGINT)
                await turn_is_cancelled.wait()
            assert not prompt_is_told.is_set()
            os.kill(os.getpid(), signal.SIGINT)
            await prompt_is_told.wait()
        return 0

    assert exit_code_of(main) == 0


def test_handlers_do_not_keep_sigterm_from_ending_the_program() -> None:
    async def main(interrupts: Interrupts) -> int:
        with interrupts.handled_by(lambda: None):
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        return 0

    assert exit_code_of(main) == 143


def test_an_error_comes_out_although_signals_are_watched() -> None:
    async def main(interrupts: Interrupts) -> int:
        raise ValueError("wrong")

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert caught.group_contains(ValueError, match="wrong")
