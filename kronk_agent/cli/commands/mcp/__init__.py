"""``kronk-agent mcp`` and its subcommands."""
