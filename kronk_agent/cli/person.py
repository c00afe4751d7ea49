"""The person at the terminal, asked what MCP servers want of them."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import anyio
import click
from prompt_toolkit import PromptSession

from kronk_agent.agent import Approval, Approved, Denied
from kronk_agent.cli.repl import prompt_output
from kronk_agent.cli.terminal import Terminal
from kronk_agent.host import Form, FormValues, ModelUse, ToolUse, Visit
from kronk_agent.host.text import escaped
from kronk_agent.messages import JsonObject, JsonValue, ToolCall
from kronk_agent.tool import Tool
from kronk_agent.tool.arguments import ArgumentsCheck

_MOST_SHOWN = 1000
"""Characters of what a server or the model wrote, in one question."""
_BOOLEANS = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


class TerminalPerson:
    """Asks one question at a time. Ctrl-C and Ctrl-D say no."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._turn = anyio.Lock()

    async def fill_in(self, form: Form) -> FormValues | None:
        async with self._turn:
            self._say(f"MCP server {form.server!r} asks: {form.message}")
            self._terminal.say("Give it no secrets. Enter takes the [suggestion].", style="dim")
            if not await self._agrees("Answer it?"):
                return None
            properties = form.schema.get("properties")
            values: FormValues = {}
            for name, field in (properties if isinstance(properties, dict) else {}).items():
                required = form.schema.get("required")
                is_required = isinstance(required, list) and name in required
                answer = await self._field(name, field if isinstance(field, dict) else {})
                if answer is None and is_required:
                    return None
                if answer is not None:
                    values[name] = answer
            return values

    async def agree_to_visit(self, visit: Visit) -> bool:
        async with self._turn:
            self._say(f"MCP server {visit.server!r} asks you to open a page: {visit.message}")
            self._terminal.say(f"  {_to_show(visit.url)}")
            host = _to_show(urlsplit(visit.url).hostname or "")
            if not await self._agrees(f"Open it, on {host}?"):
                return False
            await anyio.to_thread.run_sync(click.launch, visit.url)
            return True

    async def agree_to_model_use(self, use: ModelUse) -> bool:
        async with self._turn:
            self._say(f"MCP server {use.server!r} asks to use the model:")
            text = "\n".join(f"  {message.role}: {message.text}" for message in use.messages)
            self._terminal.say(_to_show(text))
            return await self._agrees(f"Let it, for up to {use.max_tokens} tokens?")

    async def agree_to_tool_use(self, use: ToolUse) -> bool:
        arguments = json.dumps(use.arguments, ensure_ascii=False)
        return await self._agrees_to_call(f"{use.tool} of MCP server {use.server!r}", arguments)

    async def approve(self, call: ToolCall, tool: Tool) -> Approval:
        """May the model make this call?"""
        return Approved() if await self._agrees_to_call(tool.name, call.arguments) else Denied()

    async def _agrees_to_call(self, tool: str, arguments: str) -> bool:
        async with self._turn:
            self._say(f"The model wants to call {tool}:")
            self._terminal.say(f"  {_to_show(arguments)}")
            return await self._agrees("Let it?")

    async def _field(self, name: str, field: JsonObject) -> str | float | bool | list[str] | None:
        """The value of one field; None where it is left open."""
        about = field.get("description") or field.get("title")
        choices = _choices(field)
        default = field.get("default")
        label = name if about is None else f"{name} ({about})"
        if choices:
            label += f", one of {', '.join(choices)}"
        if isinstance(default, str | int | float | list):
            label += f" [{_shown(default)}]"
        check = ArgumentsCheck({"type": "object", "properties": {name: field}})
        while text := await self._read(f"{_to_show(label)}: "):
            value = _value(text, field)
            as_json: JsonValue = [*value] if isinstance(value, list) else value
            if (problem := check.problem({name: as_json})) is None:
                return value
            self._terminal.say(_to_show(problem.removeprefix(".")))
        return None  # the default, if there is one, is put in by the host

    async def _agrees(self, question: str) -> bool:
        answer = await self._read(f"{question} [y/N] ")
        return answer.lower() in ("y", "yes")

    async def _read(self, prompt: str) -> str:
        session: PromptSession[str] = PromptSession(output=prompt_output())
        try:
            return (await session.prompt_async(prompt, handle_sigint=False)).strip()
        except (KeyboardInterrupt, EOFError):
            return ""

    def _say(self, text: str) -> None:
        self._terminal.close()
        self._terminal.say(_to_show(text), style="bold")


def _to_show(text: str) -> str:
    """Bounded, and with what one cannot see (bidi, zero-width) written as numbers."""
    cut = len(text) - _MOST_SHOWN
    rest = f" … ({cut} more characters)" if cut > 0 else ""
    return escaped(text[:_MOST_SHOWN]) + rest


def _choices(field: JsonObject) -> list[str]:
    """What the value can be, where the field says so: by name, or with titles."""
    items = field.get("items")
    if isinstance(items, dict):
        return _choices(items)
    enum = field.get("enum")
    if isinstance(enum, list):
        return [str(value) for value in enum]
    titled = field.get("oneOf") or field.get("anyOf")
    return [
        f"{choice['const']} ({choice.get('title', choice['const'])})"
        for choice in (titled if isinstance(titled, list) else ())
        if isinstance(choice, dict) and "const" in choice
    ]


def _value(text: str, field: JsonObject) -> str | float | bool | list[str]:
    """The text as the field's type; as it is, where it is not one, for the check to refuse."""
    match field.get("type"):
        case "boolean":
            return _BOOLEANS.get(text.lower(), text)
        case "integer" | "number":
            try:
                return int(text) if field["type"] == "integer" else float(text)
            except ValueError:
                return text
        case "array":
            return [item.strip() for item in text.split(",")]
        case _:
            return text


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
