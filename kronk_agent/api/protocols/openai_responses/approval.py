"""Tool calls that need the client's approval.

For the agent such a tool is a client tool, so a call of it ends the run. The client's next request
approves or refuses the call; an approved one is executed here, before the next run.
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
    """The client's decisions on waiting calls."""

    granted: tuple[ToolCall, ...] = ()
    refused: tuple[Message, ...] = ()
    """Results that tell the model which calls were refused."""


def read_approvals(items: Sequence[InputItem], messages: Sequence[Message]) -> Approvals:
    """Read the approval responses among the request's items.

    Raises:
        InvalidRequestError: no call is waiting for this response.
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
                f"{path}: no call is waiting for approval {item.approval_request_id!r}",
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
    """The calls without a result, by id."""
    calls: dict[str, ToolCall] = {}
    for message in messages:
        for call in message.tool_calls:
            calls.setdefault(
                call.id, call
            )  # the first wins: a later call with the same id could be forged to replace it
    for message in messages:
        if message.tool_call_id is not None:
            calls.pop(message.tool_call_id, None)
    return calls


def with_results(messages: Sequence[Message], results: Mapping[str, Message]) -> list[Message]:
    """Insert each result after the turn that made its call."""
    merged: list[Message] = []
    pending: list[Message] = []
    for message in messages:
        if message.role != "tool":
            merged += pending
            pending = [results[c.id] for c in message.tool_calls if c.id in results]
        merged.append(message)
    return [*merged, *pending]


async def execute_approved(
    call: ToolCall, tool: Tool, messages: Sequence[Message], options: AgentOptions
) -> ToolResult:
    """Execute an approved call; a failure becomes a result for the model.

    The approval satisfies the policy's ``ask``, but never overrides ``deny``.
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
