"""What a file says of its servers, as it stands there."""

from __future__ import annotations

from pathlib import Path

from kronk_agent.config.mcp_clients.foreign_keys import with_our_keys
from kronk_agent.config.yaml.document import parse_document
from kronk_agent.config.yaml.sourced import plain
from kronk_agent.messages import JsonObject


def registered_in(text: str, file: Path) -> dict[str, JsonObject]:
    """The servers in the text of a file, in our keys, their variables not put in.

    Raises:
        ConfigError: it is not YAML.
    """
    tree, _ = parse_document(text, file)
    tree, _ = with_our_keys(tree)
    value = plain(tree, None)
    servers = value.get("mcp_servers") if isinstance(value, dict) else None
    if not isinstance(servers, dict):
        return {}
    return {name: entry for name, entry in servers.items() if isinstance(entry, dict)}
