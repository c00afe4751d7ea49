"""A server with one tool, whose description is in the file it is given, over stdio."""

from __future__ import annotations

import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer

server = MCPServer("described", log_level="WARNING")
server.add_tool(
    lambda: "greeted", name="greet", description=Path(sys.argv[1]).read_text(encoding="utf-8")
)

if __name__ == "__main__":
    sys.stderr.write(f"describing {sys.argv[1]}\n")
    server.run("stdio")
