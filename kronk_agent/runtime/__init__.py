"""The composition root: a configuration becomes models, toolsets and agents. Nothing else builds.

``Runtime`` (runtime.py) is what others use. Its models are known by name (models.py), described
from their files (description.py), and loaded as they are wanted, under a budget (pool.py); an agent
has one that is loaded again when need be (pooled.py).
"""

from __future__ import annotations

from kronk_agent.runtime.configured_tools import web_tools
from kronk_agent.runtime.description import ModelDescription
from kronk_agent.runtime.model_registry import ModelEntry
from kronk_agent.runtime.runtime import Runtime

__all__ = ["ModelDescription", "ModelEntry", "Runtime", "web_tools"]
