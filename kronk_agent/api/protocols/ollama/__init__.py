"""Ollama's API under ``/api``: chats, completions, embeddings and what models there are.

Answers are NDJSON, unless a request says ``stream: false``. Fields are those of Ollama's API
documentation; what it says of running a model (layers on a GPU, threads) is in our YAML.
"""

from __future__ import annotations

from kronk_agent.api.protocols.ollama.models import router as models_router
from kronk_agent.api.protocols.ollama.routes import router

__all__ = ["models_router", "router"]
