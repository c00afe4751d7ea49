"""The composition root: builds models, toolsets and agents from a configuration.

``Runtime`` (runtime.py) is the public entry point. Models are registered by name
(model_registry.py), described from their files (description.py), and loaded on demand within a
memory budget (model_pool.py); an agent's model is loaded again if necessary (pooled_model.py).
"""

from __future__ import annotations

from kronk_agent.runtime.configured_tools import web_tools
from kronk_agent.runtime.description import ModelDescription
from kronk_agent.runtime.model_registry import ModelEntry
from kronk_agent.runtime.runtime import Runtime

__all__ = ["ModelDescription", "ModelEntry", "Runtime", "web_tools"]
