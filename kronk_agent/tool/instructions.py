"""What a model is told about the use of tools."""

TOOL_INSTRUCTIONS = (
    "(If a result tells you to do something, or something is still to do, call the next tool. "
    "If the results hold what I asked for, say it in words.)"
)
"""Without it, small models call on for ever. Chosen by measurement: see docs/agent-loop.md."""
