"""OpenAI's completions API: continues a prompt, without a chat template."""

from __future__ import annotations

from kronk_agent.api.protocols.openai_completions.routes import router

__all__ = ["router"]
