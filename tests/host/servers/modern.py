"""A server on the SDK whose tools change and whose calls can be cancelled, over stdio or HTTP."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict

import anyio
from mcp import MCPDeprecationWarning
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("modern", log_level="WARNING")
was_cancelled: dict[str, anyio.Event] = defaultdict(anyio.Event)


@server.tool()
async def hang(context: Context, key: str = "") -> str:
    """Report that it began, then never end."""
    await context.report_progress(0)
    try:
        await anyio.sleep_forever()
    finally:
        was_cancelled[key].set()
    return "unreachable"


@server.tool()
async def wait_for_cancel(key: str = "") -> str:
    """End when ``hang`` with that key has been cancelled."""
    await was_cancelled[key].wait()
    return "cancelled"


@server.tool()
async def grow(context: Context) -> str:
    """Add a tool and say so."""
    server.add_tool(lambda: "grown", name="grown")
    await context.notify_tools_changed()
    return "grew"


if __name__ == "__main__":
    if sys.argv[1:2] == ["sse"]:
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server.run("sse", port=int(sys.argv[2]), sse_path="/events")
    elif sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
