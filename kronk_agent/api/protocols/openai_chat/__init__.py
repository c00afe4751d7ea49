"""OpenAI's chat completions API."""

from __future__ import annotations

from kronk_agent.api.protocols.openai_chat.routes import router
from kronk_agent.api.protocols.openai_chat.template import router as template_router

__all__ = ["router", "template_router"]
