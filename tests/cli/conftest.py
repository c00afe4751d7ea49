from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram


@pytest.fixture
def in_terminal(tmp_path: Path) -> Iterator[Callable[..., TerminalProgram]]:
    """Starts Python programs in a terminal, with a home of their own."""
    programs: list[TerminalProgram] = []

    def start(*arguments: str, stdout: Path | None = None) -> TerminalProgram:
        programs.append(TerminalProgram(*arguments, home=tmp_path, stdout=stdout))
        return programs[-1]

    yield start
    for program in programs:
        program.close()
