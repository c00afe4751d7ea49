"""The person behind an MCP client, whom the runtime asks through the call that is under way."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import mcp.types as t
from mcp import MCPError

from kronk_agent.agent import Approval, Approve, Approved, Denied
from kronk_agent.errors import ToolError
from kronk_agent.host import (
    ElicitAction,
    FormAnswer,
    FormElicitation,
    SamplingApproval,
    ToolApproval,
    UrlElicitation,
)
from kronk_agent.host.tools.sanitize import escape_invisible
from kronk_agent.messages import JsonObject, ToolCall
from kronk_agent.tools import Tool
from kronk_mcp_servers.serving.call import Call

_LONGEST_SHOWN = 2000
_AGREE: JsonObject = {
    "type": "object",
    "properties": {
        "allow": {
            "type": "boolean",
            "title": "Allow it?",
            "description": "Without this it is not done.",
        }
    },
    "required": ["allow"],
}


class ClientUser:
    """A ``Person`` who is asked by elicitation.

    The call in whose context the question comes up is asked. What an old server asks comes in
    no context, and nobody knows which run made it ask: then nobody is asked, unless this is the
    only person there is.
    """

    def __init__(self, *, is_only_one: bool = False) -> None:
        """``is_only_one``: whatever the runtime does is done for one client, as on stdio."""
        self._is_only_one = is_only_one
        self._current: ContextVar[Call | None] = ContextVar("current call", default=None)
        self._open: list[Call] = []

    @contextmanager
    def behind(self, call: Call) -> Iterator[None]:
        """Inside the block questions go to the person behind this call."""
        token = self._current.set(call)
        self._open.append(call)
        try:
            yield
        finally:
            self._open.remove(call)
            self._current.reset(token)

    @property
    def call(self) -> Call | None:
        """The call whose person is asked now."""
        current = self._current.get()
        if current is not None:
            return current
        is_known = self._is_only_one and len(self._open) == 1
        return self._open[0] if is_known else None

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        call = self.call
        if call is None or not call.can_elicit:
            return FormAnswer("decline")
        answer = await _refusable(call, f"{form.server} asks: {form.message}", form.schema)
        if answer is None:
            return FormAnswer("decline")
        is_accepted = answer.action == "accept"
        return FormAnswer(answer.action, dict(answer.content or {}) if is_accepted else {})

    async def approve_url(self, visit: UrlElicitation) -> ElicitAction:
        call = self.call
        if call is None:
            return "decline"
        params = t.ElicitRequestURLParams(
            message=f"{visit.server} asks: {visit.message}",
            url=visit.url,
            elicitation_id=secrets.token_urlsafe(16),
        )
        try:
            answer = (await call.ask({"visit": t.ElicitRequest(params=params)}))["visit"]
        except MCPError:
            return "decline"
        return answer.action if isinstance(answer, t.ElicitResult) else "decline"

    async def approve_sampling(self, use: SamplingApproval) -> bool:
        call = self.call
        if call is None or not call.can_elicit:
            return False
        said = _shortened("\n".join(f"{message.role}: {message.text}" for message in use.messages))
        return await agreed(call, f"{use.server} wants to ask the model:\n{said}")

    async def approve_tool_call(self, use: ToolApproval) -> bool:
        return await _agree_to_call(self.call, f"{use.tool} of {use.server}", use.arguments)


def approving(call: Call) -> Approve:
    """Asks the person behind this call whatever a policy says to ask."""

    async def approve(wanted: ToolCall, tool: Tool) -> Approval:
        try:
            arguments = tool.parse_arguments(wanted.arguments)
            is_agreed = await _agree_to_call(call, tool.name, arguments)
        except ToolError as error:
            return Denied(str(error))
        return Approved() if is_agreed else Denied()

    return approve


async def _agree_to_call(call: Call | None, tool: str, arguments: JsonObject) -> bool:
    """Ask whether a tool may be called.

    Raises:
        ToolError: there is nobody to ask.
    """
    if call is None or not call.can_elicit:
        raise ToolError(
            f"{tool} needs the user's consent, and this MCP client cannot ask for it (it has no "
            "elicitation): do without it, or have the user allow it in kronk-agent's configuration"
        )
    shown = _shortened(escape_invisible(json.dumps(arguments, ensure_ascii=False, indent=1)))
    return await agreed(call, f"May {tool} be called with these arguments?\n{shown}")


async def agreed(call: Call, question: str) -> bool:
    """The answer to a question of yes or no; anything but a clear yes is no."""
    answer = await _refusable(call, question, _AGREE)
    if answer is None or answer.action != "accept":
        return False
    return (answer.content or {}).get("allow") is True


async def _refusable(call: Call, message: str, schema: JsonObject) -> t.ElicitResult | None:
    """The answer; None when the client refuses to ask."""
    try:
        return await call.elicit(message, schema)
    except MCPError:
        return None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} …"
