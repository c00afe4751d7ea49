"""An MCP server over stdio whose results are as long as they are asked to be."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer

server = MCPServer("long-lines", log_level="WARNING")


@server.tool(structured_output=False)
def text(size: int) -> str:
    """A text of that many characters."""
    return "x" * size


if __name__ == "__main__":
    server.run("stdio")
