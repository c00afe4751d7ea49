"""Results of MCP servers: normalized where they are nearly valid, and converted to our types."""
