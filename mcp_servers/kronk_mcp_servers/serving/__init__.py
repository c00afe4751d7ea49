"""The layer below our MCP servers: serves the tools, resources and prompts of a ``Registry``.

A request becomes a ``RequestContext`` (request_context.py), which can ask the client questions
while it is processed, and can outlive the message that started it. ``RunningCalls``
(running_calls.py) keeps the active ones, and ``tasks.py`` exposes them as MCP tasks. ``server.py``
connects a registry to the SDK's low-level server, which validates nothing itself: arguments,
cursors and names are checked there.
"""

from __future__ import annotations

from kronk_mcp_servers.serving.registry import (
    Completed,
    PromptSource,
    Registry,
    ResourceSource,
    ServedTool,
)
from kronk_mcp_servers.serving.request_context import RequestContext
from kronk_mcp_servers.serving.server import LayeredServer, build_server

__all__ = [
    "Completed",
    "LayeredServer",
    "PromptSource",
    "Registry",
    "RequestContext",
    "ResourceSource",
    "ServedTool",
    "build_server",
]
