"""Tools: what a model may call, and ``@tool``, which makes one of a typed function."""

from __future__ import annotations

from kronk_agent.tool.definition import (
    CheckPolicy,
    ReportProgress,
    StaticToolset,
    Tool,
    ToolCallable,
    ToolContext,
    ToolOutput,
    Toolset,
)
from kronk_agent.tool.function import tool
from kronk_agent.tool.policy import Permission, Rule
from kronk_agent.tool.run import RunContext

__all__ = [
    "CheckPolicy",
    "Permission",
    "ReportProgress",
    "Rule",
    "RunContext",
    "StaticToolset",
    "Tool",
    "ToolCallable",
    "ToolContext",
    "ToolOutput",
    "Toolset",
    "tool",
]
