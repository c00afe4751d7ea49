"""FastMCP's client on an MCP server: calls each tool, and prints its structured results.

``fastmcp_client.py SERVER CALLS``: SERVER as in ``mcpServers``, CALLS a list of name and arguments.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import json
import sys

from fastmcp import Client


async def main() -> None:
    server, calls = map(json.loads, sys.argv[1:])
    async with Client({"mcpServers": {"kronk": server}}) as client:
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
            print(json.dumps(result.structured_content))


asyncio.run(main())
