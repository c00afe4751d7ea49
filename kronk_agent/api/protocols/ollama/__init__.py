"""Ollama's API under ``/api``: chat, generate, embeddings and model listings.

Responses are NDJSON streams unless a request has ``stream: false``. Fields follow Ollama's API
documentation; options about running a model (GPU layers, threads) are set in our YAML instead.
"""

from __future__ import annotations

from kronk_agent.api.protocols.ollama.models import router as models_router
from kronk_agent.api.protocols.ollama.routes import router

__all__ = ["models_router", "router"]
