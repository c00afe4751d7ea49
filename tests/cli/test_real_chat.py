"""The real command in a real terminal, on the starter model."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# Ctrl-C is a signal only from one's own terminal.
KRONK_AGENT = (
    "-c",
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "from kronk_agent.cli import main; main()",
)

InTerminal = Callable[..., TerminalProgram]


def test_ctrl_c_stops_the_generation_and_the_conversation_goes_on(in_terminal: InTerminal) -> None:
    program = in_terminal(*KRONK_AGENT, "chat", "--no-tools", "--temperature", "0")
    program.expect("the starter model")
    program.expect(">")
    program.type("Write a very long story about a lighthouse.\r")
    program.expect("thinking ...")
    program.expect("ighthouse")
    program.type("\x03")
    program.expect("\ncancelled\n")
    program.expect(">")
    program.type("What is the capital of France?\r")
    program.expect("Paris")
    program.expect("1 step, ")
    program.expect(">")
    program.type("\x04")
    assert program.end()[1] == 0


def test_sigterm_in_the_middle_of_an_answer_ends_the_servers_too(
    in_terminal: InTerminal, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    server = f"echo $$ > '{pid_file}'; exec '{sys.executable}' -m mcp_server_time"
    config = tmp_path / "config.yaml"
    config.write_text(f'mcp_servers: {{time: {{command: sh, args: [-c, "{server}"]}}}}\n')
    program = in_terminal(
        *KRONK_AGENT, "--config", str(config), "chat", "--temperature", "0", "--tool-choice", "none"
    )
    program.expect(">")
    program.type("Write a very long story about a lighthouse.\r")
    program.expect("thinking ...")
    program.expect("ighthouse")
    program.process.send_signal(signal.SIGTERM)
    shown, exit_code = program.end()
    assert exit_code == 143
    assert "Traceback" not in shown
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
