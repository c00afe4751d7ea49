"""OpenAI's completions: a prompt goes on, with no chat template around it."""

from __future__ import annotations

from kronk_agent.api.protocols.openai_completions.routes import router

__all__ = ["router"]
