"""Which tools a call may use: as the caller chose, and as remote callers may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from kronk_agent.config.mcp_server import Permission
from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_agent.runtime.agents import SomeTools
from kronk_agent.tool import Tool, ToolContext, ToolOutput, Toolset
from kronk_mcp_servers.agent.person import ClientPerson, agree_to_call


@dataclass(frozen=True, slots=True)
class Guarded:
    """A toolset as far as a policy allows: what is denied is not there, the rest may ask first."""

    toolset: Toolset
    policy: Mapping[str, Permission]
    person: ClientPerson

    @property
    def name(self) -> str:
        return self.toolset.name

    def tools(self) -> Sequence[Tool]:
        return [
            self._asking(tool) if permission == "ask" else tool
            for tool in self.toolset.tools()
            if (permission := permission_of(tool.name, self.policy)) != "deny"
        ]

    def _asking(self, tool: Tool) -> Tool:
        async def call(arguments: JsonObject, context: ToolContext) -> ToolOutput:
            assert tool.call is not None, "tools of the runtime can be called"
            if not await agree_to_call(self.person.call, tool.name, arguments):
                raise ToolError(f"the user did not agree to this call of {tool.name}")
            return await tool.call(arguments, context)

        return replace(tool, call=call)


def permission_of(tool: str, policy: Mapping[str, Permission]) -> Permission:
    """deny wins over allow, allow over ask; a tool that is not named may be called."""
    said = {permission for pattern, permission in policy.items() if fnmatchcase(tool, pattern)}
    if "deny" in said:
        return "deny"
    return "ask" if said == {"ask"} else "allow"


def choose(toolsets: Iterable[Toolset], patterns: Sequence[str]) -> list[Toolset]:
    """The toolsets with only those tools.

    Raises:
        ToolError: a pattern without * or ? is no tool's name.
    """
    toolsets = list(toolsets)
    names = [tool.name for toolset in toolsets for tool in toolset.tools()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = ", ".join(names) or "none"
            raise ToolError(f"tools: there is no tool {pattern!r}; there are: {known}")
    return [SomeTools(toolset, tuple(patterns)) for toolset in toolsets]


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
