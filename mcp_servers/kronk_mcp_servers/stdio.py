"""Serves an MCP client that started us, on stdin and stdout."""

from __future__ import annotations

from kronk_mcp_servers.serving.server import LayeredServer
from kronk_mcp_servers.stdin import cancellable_stdin


async def serve_stdio(server: LayeredServer) -> None:
    """Serve until stdin ends.

    Meanwhile file descriptor 1 refers to stderr and 0 to an empty file, also for child processes:
    output of llama.cpp, a tool or a child cannot get between the messages.
    """
    from mcp.server.stdio import stdio_server  # heavy, like the next one

    from kronk_mcp_servers.client_messages import ClientMessages

    with cancellable_stdin() as stdin:
        async with stdio_server(stdin=stdin) as (read, write):
            requests = ClientMessages(read, write)
            await server.run(requests, write, server.create_initialization_options())
