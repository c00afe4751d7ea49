"""Tool allow and deny lists of a server."""

from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.tools.policy import is_named, is_never_allowed, rules_in


def allowed_definitions(
    config: McpServerConfig, definitions: Sequence[ToolDefinition]
) -> list[ToolDefinition]:
    """Definitions that are allowed and not denied by the configuration."""
    rules = rules_in(config.policy)
    return [
        definition
        for definition in definitions
        if is_named(definition.name, config.tools.allow)
        and not is_named(definition.name, config.tools.deny)
        and not is_never_allowed(rules, definition.name)
    ]
