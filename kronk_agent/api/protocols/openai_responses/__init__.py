"""OpenAI's responses and conversations APIs.

A request's items become messages (items/to_messages.py) and its tools a toolbox (toolbox.py); the
run's events become the response's events (encoder.py). Storage is in ``kronk_agent.sessions``.
"""

from __future__ import annotations

from kronk_agent.api.protocols.openai_responses import conversations, routes

router = routes.router
conversations_router = conversations.router

__all__ = ["conversations_router", "router"]
