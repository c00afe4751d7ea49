"""Compaction: shortening conversations that become too long for the model's context.

``ContextWindow`` (window.py) sits between the loop and the model. It counts the prompt before each
turn; if that is too large, stages (stages.py) are tried in order: old tool results are shortened
(stubs.py), older messages are replaced by a summary (summary.py), and the oldest ones are dropped.
The result is kept as ``ContextEdits`` (edits.py); the conversation itself is not changed.
"""

from __future__ import annotations

from kronk_agent.agent.compaction.cache import CompactionCache
from kronk_agent.agent.compaction.window import ContextWindow

__all__ = ["CompactionCache", "ContextWindow"]
