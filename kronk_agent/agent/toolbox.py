from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.tool import Tool, Toolset


def gather(toolsets: Sequence[Toolset]) -> tuple[dict[str, Tool], list[str]]:
    """The tools there are now, by name, and a line for each that another one hides."""
    tools: dict[str, Tool] = {}
    owners: dict[str, str] = {}
    hidden: list[str] = []
    for toolset in toolsets:
        for tool in toolset.tools():
            if tool.name in tools:
                hidden.append(
                    f"tool {tool.name} of {toolset.name} cannot be used: "
                    f"{owners[tool.name]} has one of the same name"
                )
                continue
            tools[tool.name] = tool
            owners[tool.name] = toolset.name
    return tools, hidden
