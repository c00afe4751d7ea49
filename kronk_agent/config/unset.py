"""MCP servers whose configuration uses environment variables that are not set.

They are kept but marked as unusable, so that the rest of the configuration is valid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kronk_agent.config.schema.config import Config
from kronk_agent.config.validating import validate
from kronk_agent.config.yaml.sourced import SourcedValue
from kronk_agent.errors import ConfigError

_OF_SERVER = re.compile(r"mcp_servers\.([A-Za-z0-9_-]+)\.")


def server_of(mistake: ConfigError) -> str | None:
    """Return the name of the MCP server the mistake belongs to; None if it is elsewhere."""
    match = _OF_SERVER.match(f"{mistake.key}.")
    return match[1] if match else None


def by_server(mistakes: Sequence[ConfigError]) -> dict[str, list[ConfigError]]:
    """Group the mistakes in entries of MCP servers by the server's name."""
    found: dict[str, list[ConfigError]] = {}
    for mistake in mistakes:
        if (name := server_of(mistake)) is not None:
            found.setdefault(name, []).append(mistake)
    return found


def validate_without(
    tree: SourcedValue, unset: Mapping[str, Sequence[ConfigError]]
) -> tuple[Config, list[ConfigError]]:
    """Validate like ``validate``, but accept servers that have unset variables.

    Args:
        tree: the values to validate.
        unset: the errors about unset variables, by server.
    """
    config, invalid = validate(tree)
    invalid_servers = {server_of(mistake) for mistake in invalid} & set(unset)
    if invalid_servers:
        config, invalid = validate(_with_placeholders(tree, invalid_servers))
    servers = {
        name: server.with_problem("\n".join(map(str, unset[name]))) if name in unset else server
        for name, server in config.mcp_servers.items()
    }
    return config.model_copy(update={"mcp_servers": servers}), invalid


def _with_placeholders(tree: SourcedValue, names: set[str | None]) -> SourcedValue:
    """Replace the entries of these servers by a minimal valid command or URL."""
    assert isinstance(tree.value, dict)
    section = tree.value["mcp_servers"]
    assert isinstance(section.value, dict)
    servers = {
        name: _placeholder(entry) if name in names else entry
        for name, entry in section.value.items()
    }
    return replace(tree, value={**tree.value, "mcp_servers": replace(section, value=servers)})


def _placeholder(entry: SourcedValue) -> SourcedValue:
    given = entry.value if isinstance(entry.value, dict) else {}
    key, text = ("url", "https://unset.invalid/") if "url" in given else ("command", "unset")
    return replace(entry, value={key: SourcedValue(text, entry.origin)})
