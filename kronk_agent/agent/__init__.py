"""The agent: a chat model, tools, and the loop between them.

One run is a ``RunLoop`` (loop.py) that takes steps. In a step the model's deltas are merged into a
``TurnState`` (turn.py), whose calls are executed while the model still generates
(tool_executor.py), in an order in which reads wait for earlier writes (call_order.py). Results are
truncated to the context (truncation.py), and repeated calls without progress are detected
(repeat_guard.py).
"""

from __future__ import annotations

from kronk_agent.agent.agent import Agent, Run
from kronk_agent.agent.approval import Approval, Approve, Approved, Denied, Pending
from kronk_agent.agent.compaction import CompactionCache
from kronk_agent.agent.options import AgentOptions

__all__ = [
    "Agent",
    "AgentOptions",
    "Approval",
    "Approve",
    "Approved",
    "CompactionCache",
    "Denied",
    "Pending",
    "Run",
]
