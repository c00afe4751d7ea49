"""Transports to MCP servers, over pipes or HTTP; malformed messages are repaired."""
