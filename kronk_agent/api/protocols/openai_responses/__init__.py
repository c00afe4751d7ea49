"""OpenAI's responses, and the conversations they can be part of.

A request's items become messages (conversation.py) and its tools a toolbox (toolbox.py); the run's
events become the response's (stream.py). What is kept of it is in ``kronk_agent.sessions``.
"""

from __future__ import annotations

from kronk_agent.api.protocols.openai_responses import conversations, routes

router = routes.router
conversations_router = conversations.router

__all__ = ["conversations_router", "router"]
