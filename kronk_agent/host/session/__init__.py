"""One session with an MCP server: its connection, timeouts and tasks."""
