"""Former name of ``encoder``, for the request module that still uses it."""

from __future__ import annotations

from kronk_agent.api.protocols.anthropic_messages.encoder import MessageFormat as Form

__all__ = ["Form"]
