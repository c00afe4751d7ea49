"""Decides whether a tool call is allowed: by policy rules, or by asking."""

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
    """The call is allowed."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The call is not executed, and the model is told so."""

    reason: str = "the user did not agree"


@dataclass(frozen=True, slots=True)
class Pending:
    """The decision comes later: the run ends, and the call stays open."""


Approval: TypeAlias = Approved | Denied | Pending

Approve: TypeAlias = Callable[[ToolCall, Tool], Awaitable[Approval]]
"""Asks for a decision. It may take arbitrarily long, and is cancelled when no longer needed."""

_NO_APPROVER = Denied("it needs a person's agreement, and nobody is there to ask")


def permission_of(
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    can_ask: bool,
) -> Permission:
    """Return the permission for a call.

    The ceiling also restricts calls that the policy and the tool's own rules allow. If the tool's
    own rules say ``ask`` and asking is not possible here, that is left to the tool, which may be
    able to.

    Args:
        tool: the tool.
        arguments: the arguments of the call.
        policy: the rules.
        policy_ceiling: a second policy that can only restrict the first.
        can_ask: True if someone can be asked.
    """
    tool_rules = [rule for rule in tool.rules if can_ask or rule.permission != "ask"]
    permission_for = partial(
        permission,
        name=tool.name,
        arguments=arguments,
        schema=tool.parameters,
        folders=tool.folders,
    )
    return stricter(permission_for((*policy, *tool_rules)), permission_for(policy_ceiling))


async def decide(
    call: ToolCall,
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    approve: Approve | None,
) -> Approval:
    """Decide on a call: by the rules, or by ``approve`` if they say ``ask``.

    Without ``approve``, ``ask`` means denied.
    """
    match permission_of(
        tool, arguments, policy=policy, policy_ceiling=policy_ceiling, can_ask=approve is not None
    ):
        case "allow":
            return Approved()
        case "deny":
            return Denied("the policy does not allow it")
        case "ask":
            return _NO_APPROVER if approve is None else await approve(call, tool)


def policy_check(
    tool: Tool,
    arguments: JsonObject,
    *,
    policy: Sequence[Rule],
    policy_ceiling: Sequence[Rule] = (),
    can_ask: bool = False,
    is_agreed: bool = False,
) -> CheckPolicy:
    """Return the check for a tool that uses another value than the argument it was called with.

    Args:
        tool: the tool.
        arguments: the arguments of the call.
        policy: the rules, as in ``decide``.
        policy_ceiling: as in ``decide``.
        can_ask: True if someone could be asked about a call with that value.
        is_agreed: True if the user agreed to the call; that also covers other spellings of a URL.
    """

    def check(argument: str, value: JsonValue) -> None:
        """Check the value for the argument.

        Raises:
            ToolError: the policy does not allow the value.
        """
        replaced = {**arguments, argument: value}
        decision = permission_of(
            tool, replaced, policy=policy, policy_ceiling=policy_ceiling, can_ask=can_ask
        )
        if decision == "ask" and is_agreed and is_same_value(arguments.get(argument), value):
            return
        if decision == "deny" or (decision == "ask" and not can_ask):
            raise ToolError(
                f"the policy does not allow {tool.name} with this {argument}: do without it",
                code="url_not_allowed",
            )
        if decision == "ask":
            raise ToolError(
                f"the user must agree to this {argument}: call {tool.name} with it as {argument}",
                code="url_not_allowed",
            )

    return check
