"""Whether a call may be made: what the rules say, and who is asked where they say ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kronk_agent.messages import JsonObject, ToolCall
from kronk_agent.tool import Rule, Tool
from kronk_agent.tool.policy import permission, stricter


@dataclass(frozen=True, slots=True)
class Approved:
    """The call may be made."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The call is not made, and the model is told so."""

    reason: str = "the user did not agree"


@dataclass(frozen=True, slots=True)
class Pending:
    """The answer comes later: the run ends, with the call left open."""


Approval: TypeAlias = Approved | Denied | Pending

Approve: TypeAlias = Callable[[ToolCall, Tool], Awaitable[Approval]]
"""Asks whoever may decide. May take as long as people do; cancelled when it is moot."""

_NOBODY = Denied("it needs a person's agreement, and nobody is there to ask")


async def decide(
    call: ToolCall,
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    limits: Sequence[Rule] = (),
    approve: Approve | None,
) -> Approval:
    """May this call be made? Asks, where the rules say so.

    What the policy and the tool's own rules allow is still under the limits.
    With nobody to ask it may not where the policy says ask. Where a tool's own rules do, that is
    left to the tool, which may know whom to ask.
    """
    own = [rule for rule in tool.rules if approve is not None or rule.permission != "ask"]
    said = permission((*policy, *own), call.name, arguments)
    match stricter(said, permission(limits, call.name, arguments)):
        case "allow":
            return Approved()
        case "deny":
            return Denied("the policy does not allow it")
        case "ask":
            return _NOBODY if approve is None else await approve(call, tool)
