"""Configuration files of other MCP clients: importing from them and adding ourselves."""
