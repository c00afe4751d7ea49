"""A conversation with a scripted model and a server that asks, for test_person.py to hold."""

from __future__ import annotations

import fcntl
import sys
import termios
from pathlib import Path

import click

from kronk_agent.cli.commands.chat import converse
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.interactive.user import TerminalUser
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.schema.config import Config, McpServerConfig
from kronk_agent.messages import ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.runtime import Runtime
from kronk_agent.testing import Piece, ScriptedModel, call

ASKING = Path(__file__).parents[1] / "host" / "servers" / "asking.py"


def say(request: ChatRequest) -> list[Piece]:
    """The person types which tool is to be called."""
    last = request.messages[-1]
    match last.role, last.text:
        case "tool", text:
            return [f"It gave: {text}"]
        case _, "Summarise: long":
            return ["in short"]
        case _, "summarise":
            return [call("x__summarise", text="long")]
        case _, "hidden":
            return [ToolCall("", "x__write_note", '{"text": "safe\u202e\u200b"}')]
        case _, tool if "@" not in tool:
            return [call(f"x__{tool}")]
        case _:
            return [f"There are {len(last.content)} parts: {last.content[-1]!r}"]


async def main(interrupts: Interrupts) -> int:
    terminal = Terminal()
    server = McpServerConfig(
        command=sys.executable,
        args=(str(ASKING),),
        policy={"folders": "ask", "write_note": "ask"},
        protocol="legacy",
    )
    config = Config(tools=(), mcp_servers={"x": server})
    model = ScriptedModel([say] * 50)
    person = TerminalUser(terminal)
    async with Runtime.open(config, model=model, person=person) as runtime:
        return await converse(
            runtime,
            interrupts,
            terminal,
            question=None,
            as_json=False,
            wait_for_tools=True,
            approve=person.approve,
        )


if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    try:
        run(main)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
