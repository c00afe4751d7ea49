"""What a model is told about the use of tools."""

TOOL_INSTRUCTIONS = (
    "(Call tools one after another until everything I asked for is done. Then answer in words.)"
)
"""Without it, small models call on for ever. Chosen by measurement: see docs/agent-loop.md."""
