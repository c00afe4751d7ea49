"""LangChain's MCP adapters: the tools of an MCP server as LangChain's, and what these give.

``langchain_mcp.py SERVER CALLS``: SERVER as in ``mcpServers``, CALLS a list of name and arguments.
Prints the structured result of each call.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import json
import sys

from langchain_mcp_adapters.client import MultiServerMCPClient


async def main() -> None:
    server, calls = map(json.loads, sys.argv[1:])
    transport = "http" if "url" in server else "stdio"
    settings = {name: value for name, value in server.items() if name != "type"}
    client = MultiServerMCPClient({"kronk": {**settings, "transport": transport}})
    tools = {tool.name: tool for tool in await client.get_tools()}
    for name, arguments in calls:
        call = {"type": "tool_call", "id": "call_1", "name": name, "args": arguments}
        message = await tools[name].ainvoke(call)
        print(json.dumps(message.artifact["structured_content"]))


asyncio.run(main())
