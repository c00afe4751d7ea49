"""How many agents have called one another, so that a circle of them ends.

The count goes along with every call, in ``_meta``; an agent that is called counts on from there.
"""

from __future__ import annotations

from contextvars import ContextVar

META_KEY = "kronk-agent/hops"

current_hops: ContextVar[int] = ContextVar("current_hops", default=0)
"""How many agents are at work on what this code does, ours not counted."""
