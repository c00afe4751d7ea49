"""The asking server, with tools that tell what it was told: ``told.py [http|sse PORT]``."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import anyio
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request

server: MCPServer = import_module("asking").server  # beside this file


@server.tool()
async def told(context: Context) -> dict[str, object]:
    """Tell all of it."""
    request = context.request_context.request
    return {
        "arguments": sys.argv[1:],
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "headers": dict(request.headers) if isinstance(request, Request) else {},
        "protocol": context.request_context.protocol_version,
    }


@server.tool()
async def wait() -> str:
    """Wait, and report nothing."""
    await anyio.sleep_forever()
    return "unreachable"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", port]:
            server.run("streamable-http", port=int(port))
        case ["sse", port]:
            server.run("sse", port=int(port))
        case _:
            server.run("stdio")
