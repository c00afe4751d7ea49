"""OpenAI's chat completions."""

from __future__ import annotations

from kronk_agent.api.chat_completions.routes import router

__all__ = ["router"]
