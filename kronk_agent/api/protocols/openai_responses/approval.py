"""Calls that wait for the client's leave, and what becomes of them when it answers.

To the agent such a tool is one of the client's: a call of it ends the run. What the client sends
next says whether it may be made; then it is made here, before the next run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from kronk_agent.agent import AgentOptions, Approval, Approved
from kronk_agent.agent.tool_calls.tool_executor import ToolExecutor
from kronk_agent.api.protocols.openai_responses.items.schema import (
    InputItem,
    McpApprovalResponseItem,
)
from kronk_agent.api.protocols.openai_responses.items.to_messages import APPROVAL_PREFIX
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Event, Message, TextPart, ToolCall, ToolResult
from kronk_agent.tools import RunContext, Tool

_EVENTS_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Approvals:
    """What the client said of the calls that waited."""

    granted: tuple[ToolCall, ...] = ()
    refused: tuple[Message, ...] = ()
    """What the model is told of those that may not be made."""


def read_approvals(items: Sequence[InputItem], messages: Sequence[Message]) -> Approvals:
    """The answers in a request, to calls of the conversation.

    Raises:
        InvalidRequestError: no call waits for this answer.
    """
    waiting = unanswered(messages)
    granted: list[ToolCall] = []
    refused: list[Message] = []
    for index, item in enumerate(items):
        if not isinstance(item, McpApprovalResponseItem):
            continue
        call = waiting.pop(item.approval_request_id.removeprefix(APPROVAL_PREFIX), None)
        if call is None:
            path = f"input.{index}.approval_request_id"
            raise InvalidRequestError(
                f"{path}: no call waits for the answer to {item.approval_request_id!r}",
                param=path,
            )
        if item.approve:
            granted.append(call)
        else:
            refused.append(_refusal(call, item.reason))
    return Approvals(tuple(granted), tuple(refused))


def _refusal(call: ToolCall, reason: str | None) -> Message:
    text = "The person does not allow this call." + (f" {reason}" if reason else "")
    return Message("tool", (TextPart(text),), tool_call_id=call.id, name=call.name)


def unanswered(messages: Sequence[Message]) -> dict[str, ToolCall]:
    """The calls of a conversation that have no result, by id."""
    calls: dict[str, ToolCall] = {}
    for message in messages:
        for call in message.tool_calls:
            calls.setdefault(call.id, call)  # a later one could be made up to take its place
    for message in messages:
        if message.tool_call_id is not None:
            calls.pop(message.tool_call_id, None)
    return calls


def with_results(messages: Sequence[Message], results: Mapping[str, Message]) -> list[Message]:
    """The messages, each result behind the turn that made its call."""
    whole: list[Message] = []
    pending: list[Message] = []
    for message in messages:
        if message.role != "tool":
            whole += pending
            pending = [results[c.id] for c in message.tool_calls if c.id in results]
        whole.append(message)
    return [*whole, *pending]


async def carry_out(
    call: ToolCall, tool: Tool, messages: Sequence[Message], options: AgentOptions
) -> ToolResult:
    """Make a call that was agreed to; what goes wrong is a result the model reads.

    The client's agreement is what the policy asks for. It lifts nothing that the policy denies.
    """
    send, receive = anyio.create_memory_object_stream[Event](_EVENTS_AHEAD)
    with send, receive:
        executor = ToolExecutor(
            timeout_seconds=options.tool_timeout_seconds,
            events=send,
            run=RunContext(messages),
            policy=options.policy,
            policy_ceiling=options.policy_ceiling,
            approve=_agreed,
        )
        refused = await executor.authorize(call, {tool.name: tool})
        if isinstance(refused, ToolResult):
            return refused
        return (await executor.execute(call, {tool.name: tool})).result


async def _agreed(call: ToolCall, tool: Tool) -> Approval:
    return Approved()
