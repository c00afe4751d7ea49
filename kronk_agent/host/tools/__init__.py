"""Tools of MCP servers: named, pinned, scanned for prompt injection and cached."""
