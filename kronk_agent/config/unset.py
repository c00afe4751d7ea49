"""MCP servers whose configuration names environment variables that are not set.

They are kept, as unusable, so that the rest of the configuration holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kronk_agent.config.schema.config import Config
from kronk_agent.config.validating import validate
from kronk_agent.config.yaml.sourced import Node
from kronk_agent.errors import ConfigError

_OF_SERVER = re.compile(r"mcp_servers\.([A-Za-z0-9_-]+)\.")


def server_of(mistake: ConfigError) -> str | None:
    """The MCP server in whose entry the mistake is; None where it is elsewhere."""
    match = _OF_SERVER.match(f"{mistake.key}.")
    return match[1] if match else None


def by_server(mistakes: Sequence[ConfigError]) -> dict[str, list[ConfigError]]:
    """The mistakes in entries of MCP servers, by the server's name."""
    found: dict[str, list[ConfigError]] = {}
    for mistake in mistakes:
        if (name := server_of(mistake)) is not None:
            found.setdefault(name, []).append(mistake)
    return found


def validate_without(
    tree: Node, unset: Mapping[str, Sequence[ConfigError]]
) -> tuple[Config, list[ConfigError]]:
    """``validate``, where servers with unset variables are valid whatever else is in them."""
    config, invalid = validate(tree)
    unfit = {server_of(mistake) for mistake in invalid} & set(unset)
    if unfit:
        config, invalid = validate(_with_placeholders(tree, unfit))
    servers = {
        name: server.with_problem("\n".join(map(str, unset[name]))) if name in unset else server
        for name, server in config.mcp_servers.items()
    }
    return config.model_copy(update={"mcp_servers": servers}), invalid


def _with_placeholders(tree: Node, names: set[str | None]) -> Node:
    """The tree in which these servers have only a command or a URL, which nobody uses."""
    assert isinstance(tree.value, dict)
    section = tree.value["mcp_servers"]
    assert isinstance(section.value, dict)
    servers = {
        name: _placeholder(entry) if name in names else entry
        for name, entry in section.value.items()
    }
    return replace(tree, value={**tree.value, "mcp_servers": replace(section, value=servers)})


def _placeholder(entry: Node) -> Node:
    given = entry.value if isinstance(entry.value, dict) else {}
    key, text = ("url", "https://unset.invalid/") if "url" in given else ("command", "unset")
    return replace(entry, value={key: Node(text, entry.origin)})
