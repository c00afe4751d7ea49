"""Anthropic's Messages API."""

from __future__ import annotations

from kronk_agent.api.messages.routes import router

__all__ = ["router"]
