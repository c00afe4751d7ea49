"""The interactive mode of ``kronk-agent chat``: a prompt, turns and slash commands."""

from __future__ import annotations

import os
import re
import sys
from functools import partial

from platformdirs import user_state_path
from prompt_toolkit import PromptSession
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output, create_output

from kronk_agent.cli.commands.tools import tool_table
from kronk_agent.cli.interactive.conversation import Conversation
from kronk_agent.cli.interactive.servers import FailureNews, say_failures
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.runner import Interrupts
from kronk_agent.errors import ToolError
from kronk_agent.runtime import Runtime

_COMMANDS = {
    "/help": "show this help",
    "/tools": "list the tools the model may call",
    "/new": "start a new conversation",
    "/exit": "quit (also Ctrl-D)",
}
_ALIASES = {
    "/quit": "/exit",
    "/bye": "/exit",
    "exit": "/exit",
    "quit": "/exit",
    "bye": "/exit",
    "/clear": "/new",
    "/?": "/help",
}
"""Aliases that users know from other programs."""
_COMMAND = re.compile(r"/[a-z?][\w-]*(?=\s|$)|/(?=$)", re.IGNORECASE)
"""A word after the slash. With further slashes or a dot it is a path, part of a message."""
_KEYS = "Esc Enter or a trailing backslash starts a new line; Ctrl-C stops an answer."


class Repl:
    """Reads and answers the user's input until the user quits."""

    def __init__(
        self,
        conversation: Conversation,
        runtime: Runtime,
        terminal: Terminal,
        failures: FailureNews,
    ) -> None:
        self._conversation = conversation
        self._runtime = runtime
        self._terminal = terminal
        self._failures = failures
        self._prompt: PromptSession[str] = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_key_bindings(),
            history=_open_history(terminal),
            output=prompt_output(),
            interrupt_exception=_Interrupted,
        )

    async def run(self, interrupts: Interrupts) -> None:
        """Answer turn after turn until the user quits."""
        self._terminal.say("/help lists the commands, Ctrl-D quits", style="dim")
        # A Ctrl-C pressed just after the turn ended must not end the program.
        with interrupts.handled_by(_ignore_interrupt):
            while (text := await self._read()) != "/exit":
                if command := _COMMAND.match(text):
                    name = command[0].lower()
                    self._command(_ALIASES.get(name, name), text[command.end() :].strip())
                elif text:
                    await self._turn(text)
                self._failures.say()

    async def _turn(self, text: str) -> None:
        try:
            await self._conversation.turn(text)
        except ToolError as error:
            self._terminal.say(f"error: {error}", style="red")

    async def _read(self) -> str:
        try:
            # Our event loop handles SIGINT; at the prompt, Ctrl-C is an ordinary key.
            text = (await self._prompt.prompt_async(handle_sigint=False)).strip()
            return _ALIASES.get(text.lower(), text)
        except _Interrupted:
            if not self._prompt.default_buffer.text:
                self._terminal.say("Ctrl-D or /exit quits", style="dim")
            return ""
        except EOFError:
            return "/exit"

    def _command(self, name: str, arguments: str) -> None:
        if name in _COMMANDS and arguments:
            self._terminal.say(f"error: {name} takes no arguments", style="red")
            return
        match name:
            case "/help":
                for command, summary in _COMMANDS.items():
                    self._terminal.say(f"{command:<8}{summary}")
                self._terminal.say(_KEYS)
            case "/tools":
                for line in tool_table(self._runtime.toolsets):
                    self._terminal.say(line)
                say_failures(self._runtime, self._terminal)
            case "/new":
                self._conversation.clear()
                self._terminal.say("started a new conversation")
            case _:
                self._terminal.say(
                    f"error: unknown command {name}; /help lists the commands", style="red"
                )


class _Interrupted(Exception):
    """The user pressed Ctrl-C at the prompt."""


def _ignore_interrupt() -> None:
    """Ignore a Ctrl-C between a turn and the prompt."""


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return bindings


def _open_history(terminal: Terminal) -> History:
    """Open the input history of earlier conversations; only its owner can read the file."""
    path = user_state_path("kronk-agent", appauthor=False) / "chat_history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "a", opener=partial(os.open, mode=0o600)):
            pass
    except OSError as error:
        terminal.say(f"notice: the input history is not saved: {error}", style="yellow")
        return InMemoryHistory()
    return FileHistory(path)


def prompt_output() -> Output:
    """Return the output for prompts: stderr, so that stdout carries only the answer."""
    only_stdout = sys.stdout.isatty() and not sys.stderr.isatty()
    return create_output(sys.stdout if only_stdout else sys.stderr)
