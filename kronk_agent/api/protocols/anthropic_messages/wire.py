"""Former name of ``schema``, for the request module that still uses it."""

from __future__ import annotations

from kronk_agent.api.protocols.anthropic_messages.schema import (
    CountTokensRequest,
    MessagesRequest,
    OutputFormat,
    ThinkingAdaptive,
    ThinkingEnabled,
)

__all__ = [
    "CountTokensRequest",
    "MessagesRequest",
    "OutputFormat",
    "ThinkingAdaptive",
    "ThinkingEnabled",
]
