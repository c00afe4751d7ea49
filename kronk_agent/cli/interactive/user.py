"""The user at the terminal, who answers requests of MCP servers and approves tool calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import anyio
import click
from prompt_toolkit import PromptSession

from kronk_agent.agent import Approval, Approved, Denied
from kronk_agent.cli.interactive.form_field import FormField, FormValue, fields_of
from kronk_agent.cli.interactive.repl import prompt_output
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.host import (
    ElicitAction,
    FormAnswer,
    FormElicitation,
    FormValues,
    SamplingApproval,
    ToolApproval,
    UrlElicitation,
)
from kronk_agent.host.tools.sanitize import escape_invisible
from kronk_agent.messages import ToolCall
from kronk_agent.tools import Tool

_MAX_CHARS_SHOWN = 1000
"""Maximum characters shown of a text that a server or the model wrote."""
_MAX_ATTEMPTS = 2
"""Attempts at one field; after the last invalid one, the form is cancelled."""


class _DismissedError(Exception):
    """The user dismissed the question with Ctrl-C or Ctrl-D."""


class TerminalUser:
    """Asks one question at a time. Ctrl-C and Ctrl-D dismiss it; nothing is sent or executed."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._turn = anyio.Lock()

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        """Ask the user to fill in a form that an MCP server sent."""
        async with self._turn:
            self._say(f"MCP server {form.server!r} asks for input: {form.message}")
            hint = "Do not enter secrets. Enter accepts the [suggestion], Ctrl-C cancels."
            self._terminal.say(hint, style="dim")
            try:
                if not await self._agrees("Answer it?"):
                    return FormAnswer("decline")
                return await self._fields(form)
            except _DismissedError:
                return FormAnswer("cancel")

    async def approve_url(self, elicitation: UrlElicitation) -> ElicitAction:
        """Ask the user whether to open a URL, and open it in the browser."""
        async with self._turn:
            self._say(
                f"MCP server {elicitation.server!r} asks you to open a page: {elicitation.message}"
            )
            self._terminal.say(f"  {_to_show(elicitation.url)}")
            host = _to_show(urlsplit(elicitation.url).hostname or "")
            try:
                if not await self._agrees(f"Open it on {host}?"):
                    return "decline"
            except _DismissedError:
                return "cancel"
            await anyio.to_thread.run_sync(click.launch, elicitation.url)
            return "accept"

    async def approve_sampling(self, approval: SamplingApproval) -> bool:
        """Ask the user whether an MCP server may use the model."""
        async with self._turn:
            self._say(f"MCP server {approval.server!r} asks to use the model:")
            text = "\n".join(f"  {message.role}: {message.text}" for message in approval.messages)
            self._terminal.say(_to_show(text))
            return await self._consents(f"Allow up to {approval.max_tokens} tokens?")

    async def approve_tool_call(self, approval: ToolApproval) -> bool:
        """Ask the user whether the model may call a tool of an MCP server."""
        arguments = json.dumps(approval.arguments, ensure_ascii=False)
        return await self._agrees_to_call(
            f"{approval.tool} of MCP server {approval.server!r}", arguments
        )

    async def approve(self, call: ToolCall, tool: Tool) -> Approval:
        """Ask the user whether the model may make this call."""
        return Approved() if await self._agrees_to_call(tool.name, call.arguments) else Denied()

    async def _agrees_to_call(self, tool: str, arguments: str) -> bool:
        async with self._turn:
            self._say(f"The model wants to call {tool}:")
            self._terminal.say(f"  {_to_show(arguments)}")
            return await self._consents("Allow it?")

    async def _fields(self, form: FormElicitation) -> FormAnswer:
        """Ask for each field, repeatedly until the user sends or declines the form."""
        fields = fields_of(form)
        values: FormValues = {}
        typed: dict[str, str] = {}
        while True:
            for field in fields:
                value = await self._field(field, typed.get(field.name, ""))
                values.pop(field.name, None)
                typed.pop(field.name, None)
                if value is not None:
                    values[field.name] = value
                    typed[field.name] = field.format_value(value)
            match await self._review(form, fields, values):
                case "send":
                    return FormAnswer("accept", values)
                case "decline":
                    return FormAnswer("decline")

    async def _field(self, field: FormField, typed: str) -> FormValue | None:
        """Ask for one field.

        Args:
            field: the field to ask for.
            typed: the user's previous input, offered for editing.

        Returns:
            The value; None leaves the field out, or at its default.
        """
        for _ in range(_MAX_ATTEMPTS):
            text = await self._read(f"{_to_show(field.label)}: ", typed)
            if not text and not (field.is_required and field.default is None):
                return None
            try:
                return field.parse(text)
            except ValueError as error:
                self._terminal.say(_to_show(f"{field.name}: {error}"), style="red")
                typed = ""
        self._terminal.say("cancelled; nothing was sent", style="yellow")
        raise _DismissedError

    async def _review(
        self, form: FormElicitation, fields: Sequence[FormField], values: FormValues
    ) -> Literal["send", "decline", "edit"]:
        """Show everything that would be sent, defaults included, and ask what to do."""
        self._say(f"For MCP server {form.server!r}:")
        for field in fields:
            value = values.get(field.name, field.default)
            shown = "(left out)" if value is None else field.format_value(value)
            self._terminal.say(_to_show(f"  {field.name}: {shown}"))
        while True:
            match (await self._read("Send it? [y]es, [n]o, [e]dit ")).lower():
                case "y" | "yes":
                    return "send"
                case "n" | "no":
                    return "decline"
                case "e" | "edit":
                    return "edit"

    async def _consents(self, question: str) -> bool:
        """Return True only on an explicit yes; dismissing the question means no."""
        try:
            return await self._agrees(question)
        except _DismissedError:
            return False

    async def _agrees(self, question: str) -> bool:
        return (await self._read(f"{question} [y/N] ")).lower() in ("y", "yes")

    async def _read(self, prompt: str, typed: str = "") -> str:
        """Read a line; ``typed`` is the initial text, for editing."""
        session: PromptSession[str] = PromptSession(output=prompt_output())
        try:
            return (await session.prompt_async(prompt, default=typed, handle_sigint=False)).strip()
        except (KeyboardInterrupt, EOFError):
            raise _DismissedError from None

    def _say(self, text: str) -> None:
        self._terminal.close()
        self._terminal.say(_to_show(text), style="bold")


def _to_show(text: str) -> str:
    """Truncate the text and escape invisible characters such as bidi and zero-width ones."""
    cut = len(text) - _MAX_CHARS_SHOWN
    rest = f" … ({cut} more characters)" if cut > 0 else ""
    return escape_invisible(text[:_MAX_CHARS_SHOWN]) + rest
