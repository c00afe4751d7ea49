"""Tools that a model can call, and ``@tool``, which turns a typed function into one."""

from __future__ import annotations

from kronk_agent.tools.definition import (
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
from kronk_agent.tools.function import tool
from kronk_agent.tools.policy import Permission, Rule
from kronk_agent.tools.run import RunContext

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
