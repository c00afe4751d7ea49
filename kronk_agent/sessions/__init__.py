"""Conversations that survive the process, in SQLite or PostgreSQL.

A session is a conversation of messages with a title. A response is one answer given over HTTP; it
belongs to a session, or goes on from an earlier response, or stands alone. Nothing that was said is
ever changed: messages and items are only added, and removed with what they belong to.

To be imported where the store is first used: it brings SQLAlchemy with it.
"""

from __future__ import annotations

from kronk_agent.sessions.records import (
    FINAL,
    ResponseStatus,
    Session,
    StoredEvent,
    StoredResponse,
)
from kronk_agent.sessions.store import SessionStore

__all__ = [
    "FINAL",
    "ResponseStatus",
    "Session",
    "SessionStore",
    "StoredEvent",
    "StoredResponse",
]
