"""Call depth: the number of agents that have called one another, to stop circular calls.

The depth travels in ``_meta`` of every tool call; a called agent continues counting from it.
"""

from __future__ import annotations

from contextvars import ContextVar

META_KEY = "kronk-agent/hops"

current_hops: ContextVar[int] = ContextVar("current_hops", default=0)
"""Number of agents already working on the current request, excluding this one."""
