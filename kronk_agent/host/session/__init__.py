"""Session with one MCP server: its connection, timeouts and tasks."""
