"""The tools of a request: the client's own, the server's, and MCP servers it names."""
