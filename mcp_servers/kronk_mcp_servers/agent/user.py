"""The user of an MCP client, who is asked through the current call."""

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
from kronk_mcp_servers.serving.request_context import RequestContext

_MAX_CHARS_SHOWN = 2000
_AGREE: JsonObject = {
    "type": "object",
    "properties": {
        "allow": {
            "type": "boolean",
            "title": "Allow it?",
            "description": "If not set, the call is denied.",
        }
    },
    "required": ["allow"],
}


class ClientUser:
    """A ``UserInteraction`` that asks through elicitation.

    The call in whose context a question arises is used. Requests of old MCP servers have no
    context, so it is unknown which run caused them: they are declined, unless there is only one
    client.
    """

    def __init__(self, *, is_only_one: bool = False) -> None:
        """``is_only_one``: the runtime serves a single client, as on stdio."""
        self._is_only_one = is_only_one
        self._current: ContextVar[RequestContext | None] = ContextVar("current call", default=None)
        self._open: list[RequestContext] = []

    @contextmanager
    def asking_through(self, call: RequestContext) -> Iterator[None]:
        """Inside the block, questions are asked through this call."""
        token = self._current.set(call)
        self._open.append(call)
        try:
            yield
        finally:
            self._open.remove(call)
            self._current.reset(token)

    @property
    def call(self) -> RequestContext | None:
        """The call through which questions are asked now; None if unknown."""
        current = self._current.get()
        if current is not None:
            return current
        is_known = self._is_only_one and len(self._open) == 1
        return self._open[0] if is_known else None

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        """Ask the client to fill in a form; declines if that is not possible."""
        call = self.call
        if call is None or not call.can_elicit:
            return FormAnswer("decline")
        answer = await _elicit(call, f"{form.server} asks: {form.message}", form.schema)
        if answer is None:
            return FormAnswer("decline")
        is_accepted = answer.action == "accept"
        return FormAnswer(answer.action, dict(answer.content or {}) if is_accepted else {})

    async def approve_url(self, elicitation: UrlElicitation) -> ElicitAction:
        """Ask the client to open a URL; declines if that is not possible."""
        call = self.call
        if call is None:
            return "decline"
        params = t.ElicitRequestURLParams(
            message=f"{elicitation.server} asks: {elicitation.message}",
            url=elicitation.url,
            elicitation_id=secrets.token_urlsafe(16),
        )
        try:
            answer = (await call.ask({"visit": t.ElicitRequest(params=params)}))["visit"]
        except MCPError:
            return "decline"
        return answer.action if isinstance(answer, t.ElicitResult) else "decline"

    async def approve_sampling(self, approval: SamplingApproval) -> bool:
        """Ask the client whether an MCP server may use the model."""
        call = self.call
        if call is None or not call.can_elicit:
            return False
        conversation = _truncated(
            "\n".join(f"{message.role}: {message.text}" for message in approval.messages)
        )
        return await agreed(call, f"Allow {approval.server} to ask the model?\n{conversation}")

    async def approve_tool_call(self, approval: ToolApproval) -> bool:
        """Ask the client whether the model may call a tool of an MCP server."""
        return await _approve_call(
            self.call, f"{approval.tool} of {approval.server}", approval.arguments
        )


def approving(call: RequestContext) -> Approve:
    """Return an approver that asks through this call."""

    async def approve(wanted: ToolCall, tool: Tool) -> Approval:
        """Ask the client whether the model may make the call."""
        try:
            arguments = tool.parse_arguments(wanted.arguments)
            is_agreed = await _approve_call(call, tool.name, arguments)
        except ToolError as error:
            return Denied(str(error))
        return Approved() if is_agreed else Denied()

    return approve


async def _approve_call(call: RequestContext | None, tool: str, arguments: JsonObject) -> bool:
    """Ask whether a tool may be called.

    Raises:
        ToolError: the client cannot be asked.
    """
    if call is None or not call.can_elicit:
        raise ToolError(
            f"{tool} needs the user's consent, and this MCP client cannot ask for it (it has no "
            "elicitation): do without it, or have the user allow it in kronk-agent's configuration"
        )
    shown = _truncated(escape_invisible(json.dumps(arguments, ensure_ascii=False, indent=1)))
    return await agreed(call, f"Allow calling {tool} with these arguments?\n{shown}")


async def agreed(call: RequestContext, question: str) -> bool:
    """Ask a yes-or-no question; anything but a clear yes means no."""
    answer = await _elicit(call, question, _AGREE)
    if answer is None or answer.action != "accept":
        return False
    return (answer.content or {}).get("allow") is True


async def _elicit(call: RequestContext, message: str, schema: JsonObject) -> t.ElicitResult | None:
    """Ask the client to fill in a form; None if the client refuses."""
    try:
        return await call.elicit(message, schema)
    except MCPError:
        return None


def _truncated(text: str) -> str:
    return text if len(text) <= _MAX_CHARS_SHOWN else f"{text[:_MAX_CHARS_SHOWN]} …"
