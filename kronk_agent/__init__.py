"""kronk-agent: local GGUF models that call tools under a grammar.

Importing the package is cheap: llama.cpp, MCP and the like load when they are first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from kronk_agent.errors import KronkError, ToolError
from kronk_agent.messages import Message, ToolCall, ToolResult
from kronk_agent.settings import SamplingParams, ToolChoice

# Eager for a reason: once imported, the module `kronk_agent.tools` is an attribute of this package
# and would hide the decorator of the same name if that were looked up later.
from kronk_agent.tools import Tool, ToolContext, ToolOutput, tool

if TYPE_CHECKING:
    from kronk_agent.agent import Agent, AgentOptions
    from kronk_agent.config.loading import load_config
    from kronk_agent.config.schema.config import Config
    from kronk_agent.runtime import Runtime

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentOptions",
    "Config",
    "KronkError",
    "Message",
    "Runtime",
    "SamplingParams",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolContext",
    "ToolError",
    "ToolOutput",
    "ToolResult",
    "__version__",
    "load_config",
    "tool",
]

_LAZY = {
    "Agent": "kronk_agent.agent",
    "AgentOptions": "kronk_agent.agent",
    "Config": "kronk_agent.config.schema.config",
    "Runtime": "kronk_agent.runtime",
    "load_config": "kronk_agent.config.loading",
}

# The application that uses the library configures its log.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
