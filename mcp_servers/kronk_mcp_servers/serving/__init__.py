"""The layer under our own MCP servers: a ``Registry`` says what there is, and this does the rest.

A request becomes a ``Call`` (call.py), which may ask the client for things while it is answered and
may outlive the message that made it; ``Calls`` (calls.py) keeps those that are under way, and
``tasks.py`` shows them as tasks. ``server.py`` ties a registry to the SDK's low-level server, which
checks nothing by itself: arguments, cursors and names are checked there.
"""

from __future__ import annotations

from kronk_mcp_servers.serving.call import Call
from kronk_mcp_servers.serving.registry import (
    Completed,
    PromptSource,
    Registry,
    ResourceSource,
    ServedTool,
)
from kronk_mcp_servers.serving.server import LayeredServer, build_server

__all__ = [
    "Call",
    "Completed",
    "LayeredServer",
    "PromptSource",
    "Registry",
    "ResourceSource",
    "ServedTool",
    "build_server",
]
