from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.errors import InvalidRequestError
from kronk_agent.tool import Rule, Tool, Toolset
from kronk_agent.tool.policy import is_never_allowed


def gather(
    toolsets: Sequence[Toolset],
    client_tools: Sequence[Tool] = (),
    *,
    policy: Sequence[Rule] = (),
) -> tuple[dict[str, Tool], list[str]]:
    """The tools there are now, by name, and a line for each that another one hides.

    Without those that may never be called.

    Raises:
        InvalidRequestError: a tool of the client has the name of another.
    """
    tools: dict[str, Tool] = {}
    owners: dict[str, str] = {}
    hidden: list[str] = []
    for toolset in toolsets:
        for tool in toolset.tools():
            if is_never_allowed((*policy, *tool.rules), tool.name):
                continue
            if tool.name in tools:
                hidden.append(
                    f"tool {tool.name} of {toolset.name} cannot be used: "
                    f"{owners[tool.name]} has one of the same name"
                )
                continue
            tools[tool.name] = tool
            owners[tool.name] = toolset.name
    for tool in client_tools:
        if tool.name in tools:
            owner = owners.get(tool.name, "the request")
            raise InvalidRequestError(
                f"the tool {tool.name!r} must have another name: {owner} has one of that name",
                param="tools",
            )
        tools[tool.name] = tool
    return tools, hidden
