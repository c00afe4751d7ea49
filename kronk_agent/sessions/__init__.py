"""Persistent conversations, in SQLite or PostgreSQL.

A session is a conversation with a title. A response is an answer given over HTTP; it belongs to a
session, continues an earlier response, or stands alone. Stored content never changes: messages and
items are only added, and deleted together with their owner.

Import it where the store is first used: it imports SQLAlchemy.
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
