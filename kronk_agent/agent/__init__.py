"""The agent: a chat model, tools, and the loop between them.

One run is a ``Conductor`` (conductor.py) that takes steps. In a step the model's deltas are merged
into a ``Turn`` (turn.py) and its calls are answered while it still speaks (caller.py); what came of
them is cut to the room the context has (room.py).
"""

from __future__ import annotations

from kronk_agent.agent.agent import Agent, Run
from kronk_agent.agent.options import AgentOptions
from kronk_agent.agent.policy import Approval, Approve, Approved, Denied, Pending

__all__ = [
    "Agent",
    "AgentOptions",
    "Approval",
    "Approve",
    "Approved",
    "Denied",
    "Pending",
    "Run",
]
