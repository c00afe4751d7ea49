"""Records of the store. Times are in seconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject

ResponseStatus: TypeAlias = Literal[
    "queued", "in_progress", "completed", "incomplete", "failed", "cancelled"
]

FINAL: frozenset[ResponseStatus] = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Statuses that do not change any more."""


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation; its messages are read with ``SessionStore.messages``."""

    id: str
    title: str
    metadata: Mapping[str, str]
    created_at: float
    updated_at: float
    """Time of the last change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A response in its current state."""

    id: str
    status: ResponseStatus
    body: JsonObject
    """The response as shown by the API."""
    session_id: str | None = None
    """The session it belongs to; None if it belongs to none."""
    previous_id: str | None = None
    """The response it continues; None for the first, or with a session."""
    created_at: float = 0.0
    is_lost: bool = field(default=False)
    """True if unfinished although its process is gone."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of a response's stream."""

    sequence_number: int
    body: JsonObject
