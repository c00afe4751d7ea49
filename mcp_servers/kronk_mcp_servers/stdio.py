"""Serving a client that has started us, on stdin and stdout."""

from __future__ import annotations

from kronk_mcp_servers.serving.server import LayeredServer
from kronk_mcp_servers.stdin import cancellable_stdin


async def serve_stdio(server: LayeredServer) -> None:
    """Serve until stdin ends.

    Meanwhile file descriptor 1 leads to stderr and 0 to nothing, also for programs that are
    started: what llama.cpp, a tool or a child prints cannot get between the messages.
    """
    from mcp.server.stdio import stdio_server  # heavy, like the next one

    from kronk_mcp_servers.requests import Requests

    with cancellable_stdin() as stdin:
        async with stdio_server(stdin=stdin) as (read, write):
            requests = Requests(read, write)
            await server.run(requests, write, server.create_initialization_options())
