"""What a model is told about the use of tools."""

TOOL_INSTRUCTIONS = (
    "Do not describe calls: make them. "
    "If a result tells you to do something, or something is still to do, call the next tool. "
    "If the results hold what the user asked for, say it in words."
)
"""When to call and when to answer: small models otherwise call on for ever, or only describe calls.
Measured in docs/agent-loop.md."""
