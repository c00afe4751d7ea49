"""Reads the registered servers from the text of a configuration file."""

from __future__ import annotations

from pathlib import Path

from kronk_agent.config.mcp_clients.foreign_keys import translate_keys
from kronk_agent.config.yaml.document import parse_document
from kronk_agent.config.yaml.sourced import plain
from kronk_agent.messages import JsonObject


def registered_in(text: str, file: Path) -> dict[str, JsonObject]:
    """Return the servers in the text, with translated keys and unresolved variables.

    Raises:
        ConfigError: the text is not YAML.
    """
    tree, _ = parse_document(text, file)
    tree, _ = translate_keys(tree)
    value = plain(tree, None)
    servers = value.get("mcp_servers") if isinstance(value, dict) else None
    if not isinstance(servers, dict):
        return {}
    return {name: entry for name, entry in servers.items() if isinstance(entry, dict)}
