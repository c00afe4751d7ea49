"""Policy rules for tool calls: globs on a tool's name and on an argument's value."""

from __future__ import annotations

from kronk_agent.tools.policy.addresses import is_same_value
from kronk_agent.tools.policy.rules import (
    Permission,
    Rule,
    is_named,
    is_never_allowed,
    permission,
    rules_about,
    rules_in,
    stricter,
)

__all__ = [
    "Permission",
    "Rule",
    "is_named",
    "is_never_allowed",
    "is_same_value",
    "permission",
    "rules_about",
    "rules_in",
    "stricter",
]
