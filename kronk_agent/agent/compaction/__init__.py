"""Compaction: what happens when a conversation becomes too long for the model's context.

``ContextWindow`` (window.py) stands between the loop and the model. Before each turn it counts the
prompt; where that is too large, the stages (stages.py) are tried one after the other: old tool
results are shortened (stubs.py), older messages replaced by a summary (summary.py), the oldest left
out. What was done is kept as ``ContextEdits`` (edits.py), and the conversation stays as it is.
"""

from __future__ import annotations

from kronk_agent.agent.compaction.cache import CompactionCache
from kronk_agent.agent.compaction.window import ContextWindow

__all__ = ["CompactionCache", "ContextWindow"]
