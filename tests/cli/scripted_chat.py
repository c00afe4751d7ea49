"""A conversation with a scripted model, for test_repl.py to hold in a terminal of its own."""

from __future__ import annotations

import fcntl
import sys
import termios

import anyio
import click

from kronk_agent.cli.commands.chat import converse
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.schema.config import Config
from kronk_agent.messages import Message, ReasoningDelta
from kronk_agent.model import ChatRequest
from kronk_agent.runtime import Runtime
from kronk_agent.testing import Piece, ScriptedModel, call
from kronk_agent.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def say(request: ChatRequest) -> list[Piece]:
    """What the model says next; the last message tells what the test wants."""
    last = request.messages[-1]
    if last.role == "tool":
        return [f"It is {last.text}."]
    match last.text:
        case "add":
            return [ReasoningDelta("I should add.\n"), "Let me see.", call("add", a=1, b=2)]
        case "hang":
            return ["I will never ", anyio.Event(), "end."]
        case "hang silently":
            return [anyio.Event()]
        case "what did I say?":
            return [_said(request.messages)]
        case text:
            return [f"You said {text!r}."]


def _said(messages: tuple[Message, ...]) -> str:
    return "said: " + ", ".join(m.text for m in messages[:-1] if m.role == "user")


async def main(interrupts: Interrupts) -> int:
    model = ScriptedModel([say] * 50)
    async with Runtime.open(Config(tools=()), tools=[add], model=model) as runtime:
        code = await converse(
            runtime,
            interrupts,
            Terminal(),
            question=next((text for text in sys.argv[1:] if text != "--json"), None),
            as_json="--json" in sys.argv,
        )
    click.echo("closed", err=True)
    return code


if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C is a signal only from one's own terminal
    try:
        run(main)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
