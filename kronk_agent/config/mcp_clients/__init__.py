"""Configuration files of other MCP clients: importing their servers, registering kronk-agent."""
