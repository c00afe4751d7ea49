"""An MCP server on stdio made with FastMCP, with one tool."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

from fastmcp import FastMCP

server = FastMCP("sums")


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


server.run(show_banner=False)
