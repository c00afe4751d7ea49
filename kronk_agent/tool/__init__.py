"""Tools: what a model may call, and ``@tool``, which makes one of a typed function."""

from __future__ import annotations

from kronk_agent.tool.definition import (
    CheckPolicy,
    InstructedToolset,
    ReportProgress,
    StaticToolset,
    Tool,
    ToolCallable,
    ToolContext,
    ToolOutput,
    Toolset,
    instructions_of,
)
from kronk_agent.tool.function import tool
from kronk_agent.tool.policy import Permission, Rule
from kronk_agent.tool.run import RunContext

__all__ = [
    "CheckPolicy",
    "InstructedToolset",
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
    "instructions_of",
    "tool",
]
