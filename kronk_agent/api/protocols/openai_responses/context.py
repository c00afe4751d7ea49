"""The conversation a request continues: an earlier response or a conversation, plus its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.openai_responses.approval import (
    Approvals,
    read_approvals,
    unanswered,
)
from kronk_agent.api.protocols.openai_responses.items.schema import InputItem, McpListToolsItem
from kronk_agent.api.protocols.openai_responses.items.to_messages import to_messages
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Message, TextPart
from kronk_agent.sessions import FINAL, SessionStore

_CONTINUABLE = ("completed", "incomplete")


@dataclass(frozen=True, slots=True)
class Past:
    """The conversation before this request."""

    messages: tuple[Message, ...] = ()
    listed: frozenset[str] = frozenset()
    """Labels of MCP servers whose tools the client already knows."""


@dataclass(frozen=True, slots=True)
class Given:
    """The conversation to answer."""

    past: Past
    new: tuple[Message, ...]
    """Messages that the request adds."""
    approvals: Approvals
    instructions: str | None

    def conversation(self, new: Sequence[Message]) -> list[Message]:
        """The whole conversation. Leading system messages are merged: most templates require it."""
        whole = [*self.past.messages, *new]
        if self.instructions:
            whole.insert(0, Message.system(self.instructions))
        first = next((n for n, m in enumerate(whole) if m.role != "system"), len(whole))
        if first < 2:
            return whole
        text = "\n\n".join(message.text for message in whole[:first])
        return [Message("system", (TextPart(text),)), *whole[first:]]


async def store_of(models: ModelRouter) -> SessionStore:
    """The session store, restricted to the current client's data."""
    return (await models.runtime.sessions()).owned_by(current_client().id)


async def read_past(
    store: SessionStore | None, *, previous_id: str | None, conversation_id: str | None
) -> Past:
    """Load the conversation before this request.

    Args:
        store: None when neither id is given.
        previous_id: the response to continue.
        conversation_id: the conversation to continue.

    Raises:
        HttpError: the response or conversation does not exist.
        InvalidRequestError: the response is not in a state to continue.
    """
    if previous_id is not None:
        assert store is not None
        return await _after_response(store, previous_id)
    if conversation_id is not None:
        assert store is not None
        return await _in_conversation(store, conversation_id)
    return Past()


def read_given(past: Past, items: Sequence[InputItem], *, instructions: str | None) -> Given:
    """Combine the past with the request's items.

    Raises:
        InvalidRequestError: an item is invalid, or a call has no result.
    """
    new = to_messages(items, past.messages)
    whole = [*past.messages, *new]
    approvals = read_approvals(items, whole)
    answered = {call.id for call in approvals.granted}
    answered |= {message.tool_call_id or "" for message in approvals.refused}
    for id, call in unanswered(whole).items():
        if id not in answered:
            raise InvalidRequestError(
                f"input: call {id!r} of {call.name} has no output: add a function_call_output, or "
                "an mcp_approval_response for an MCP tool",
                param="input",
            )
    listed = {item.server_label for item in items if isinstance(item, McpListToolsItem)}
    past = Past(past.messages, past.listed | listed)
    return Given(past, tuple(new), approvals, instructions)


async def _after_response(store: SessionStore, id: str) -> Past:
    previous = await store.response(id)
    messages = None if previous is None else await store.conversation_of(id)
    if previous is None or messages is None:
        raise HttpError(
            f"previous_response_id: response {id!r}, or an earlier one it continues, does not "
            "exist",
            status=400,
            code="previous_response_not_found",
            param="previous_response_id",
        )
    if previous.status not in _CONTINUABLE:
        state = previous.status if previous.status in FINAL else "not finished"
        raise InvalidRequestError(
            f"previous_response_id: response {id!r} is {state} and cannot be continued",
            param="previous_response_id",
        )
    return Past(tuple(messages), _listed(previous.body))


async def _in_conversation(store: SessionStore, id: str) -> Past:
    if await store.session(id) is None:
        raise HttpError(
            f"conversation: unknown conversation {id!r}",
            status=404,
            code="conversation_not_found",
            param="conversation",
        )
    labels = frozenset(
        str(item["server_label"])
        for item in await store.items(id)
        if item.get("type") == "mcp_list_tools"
    )
    return Past(tuple(await store.messages(id)), labels)


def _listed(body: JsonObject) -> frozenset[str]:
    """Labels of the MCP servers in a response's tools; their tools have been listed."""
    tools = body.get("tools")
    assert isinstance(tools, list)
    return frozenset(
        str(tool["server_label"])
        for tool in tools
        if isinstance(tool, dict) and tool.get("type") == "mcp"
    )
