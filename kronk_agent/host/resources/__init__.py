"""Resources and prompts of MCP servers."""
