"""The tools of a request: client tools, server tools and inline MCP servers."""
