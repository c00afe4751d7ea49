"""Anthropic's Messages API."""

from __future__ import annotations

from kronk_agent.api.protocols.anthropic_messages.routes import router

__all__ = ["router"]
