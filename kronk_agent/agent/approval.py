"""Whether a call may be made: what the rules say, and who is asked where they say ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject, JsonValue, ToolCall
from kronk_agent.tools import CheckPolicy, Permission, Rule, Tool
from kronk_agent.tools.policy import is_same_value, permission, stricter


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


def permission_of(
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    can_ask: bool,
) -> Permission:
    """The permission that the rules give a call.

    What the policy and the tool's own rules allow is still under the ceiling. Where the tool's own
    rules say ask and nobody can be asked, that is left to the tool, which may know whom to ask.
    """
    own = [rule for rule in tool.rules if can_ask or rule.permission != "ask"]
    about = partial(
        permission,
        name=tool.name,
        arguments=arguments,
        schema=tool.parameters,
        folders=tool.folders,
    )
    return stricter(about((*policy, *own)), about(policy_ceiling))


async def decide(
    call: ToolCall,
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    approve: Approve | None,
) -> Approval:
    """Decide on a call: by the rules, or by whom they say to ask; denied if nobody can be asked."""
    match permission_of(
        tool, arguments, policy=policy, policy_ceiling=policy_ceiling, can_ask=approve is not None
    ):
        case "allow":
            return Approved()
        case "deny":
            return Denied("the policy does not allow it")
        case "ask":
            return _NOBODY if approve is None else await approve(call, tool)


def policy_check(
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    can_ask: bool = False,
    is_agreed: bool = False,
) -> CheckPolicy:
    """Make the check that a tool calls before it uses another value than its call's argument.

    Args:
        tool: the tool.
        arguments: those it was called with.
        policy: the rules, as in ``decide``.
        policy_ceiling: as in ``decide``.
        can_ask: somebody could be asked, were the call made with that value.
        is_agreed: a person agreed to the call, which holds for other spellings of an address.
    """

    def check(argument: str, value: JsonValue) -> None:
        replaced = {**arguments, argument: value}
        said = permission_of(
            tool, replaced, policy=policy, policy_ceiling=policy_ceiling, can_ask=can_ask
        )
        if said == "ask" and is_agreed and is_same_value(arguments.get(argument), value):
            return
        if said == "deny" or (said == "ask" and not can_ask):
            raise ToolError(
                f"the policy does not allow {tool.name} with this {argument}: do without it",
                code="url_not_allowed",
            )
        if said == "ask":
            raise ToolError(
                f"the user must agree to this {argument}: call {tool.name} with it as {argument}",
                code="url_not_allowed",
            )

    return check
