"""The interactive side of ``kronk-agent chat``: a prompt, turns, and a few slash commands."""

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
    "/help": "show this",
    "/tools": "list the tools the model may call",
    "/new": "start a new conversation",
    "/exit": "leave; so does Ctrl-D",
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
"""Aliases for people who come from other programs."""
_COMMAND = re.compile(r"/[a-z?][\w-]*(?=\s|$)|/(?=$)", re.IGNORECASE)
"""A word after the slash; one with more slashes or a dot is a path, and part of a message."""
_KEYS = "Esc Enter, or a backslash at the end, starts a new line; Ctrl-C stops an answer."


class Repl:
    """Reads what the person types until they leave."""

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
        """Answer turn after turn; returns when the person leaves."""
        self._terminal.say("/help lists the commands, Ctrl-D ends", style="dim")
        # A Ctrl-C that comes a moment after its turn has ended must not end the program.
        with interrupts.handled_by(_nothing):
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
            # Our own loop deals with SIGINT; at the prompt Ctrl-C is a key like any other.
            text = (await self._prompt.prompt_async(handle_sigint=False)).strip()
            return _ALIASES.get(text.lower(), text)
        except _Interrupted:
            if not self._prompt.default_buffer.text:
                self._terminal.say("Ctrl-D or /exit ends the conversation", style="dim")
            return ""
        except EOFError:
            return "/exit"

    def _command(self, name: str, more: str) -> None:
        if name in _COMMANDS and more:
            self._terminal.say(f"error: {name} takes nothing after it", style="red")
            return
        match name:
            case "/help":
                for command, what in _COMMANDS.items():
                    self._terminal.say(f"{command:<8}{what}")
                self._terminal.say(_KEYS)
            case "/tools":
                for line in tool_table(self._runtime.toolsets):
                    self._terminal.say(line)
                say_failures(self._runtime, self._terminal)
            case "/new":
                self._conversation.clear()
                self._terminal.say("a new conversation")
            case _:
                self._terminal.say(
                    f"error: there is no command {name}; /help lists them", style="red"
                )


class _Interrupted(Exception):
    """Ctrl-C was pressed at the prompt."""


def _nothing() -> None:
    """What Ctrl-C does between a turn and the prompt."""


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
    """What was typed in earlier conversations, for the arrow keys; readable by its owner only."""
    path = user_state_path("kronk-agent", appauthor=False) / "chat_history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "a", opener=partial(os.open, mode=0o600)):
            pass
    except OSError as error:
        terminal.say(f"notice: what you type is not remembered: {error}", style="yellow")
        return InMemoryHistory()
    return FileHistory(path)


def prompt_output() -> Output:
    """The prompt goes to stderr, which leaves stdout to the answer."""
    only_stdout = sys.stdout.isatty() and not sys.stderr.isatty()
    return create_output(sys.stdout if only_stdout else sys.stderr)
