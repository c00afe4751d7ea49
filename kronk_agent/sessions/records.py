"""What the store gives out. Times are seconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kronk_agent.messages import JsonObject

ResponseStatus: TypeAlias = Literal[
    "queued", "in_progress", "completed", "incomplete", "failed", "cancelled"
]

FINAL: frozenset[ResponseStatus] = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""What a response stays, once it is that."""


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation; its messages are read with ``SessionStore.messages``."""

    id: str
    title: str
    metadata: Mapping[str, str]
    created_at: float
    updated_at: float
    """When something was last added or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """One answer, as it stands."""

    id: str
    status: ResponseStatus
    body: JsonObject
    """What the API shows of it."""
    session_id: str | None = None
    """The session it is part of."""
    previous_id: str | None = None
    """The response it goes on from; not with a session."""
    created_at: float = 0.0
    is_lost: bool = field(default=False)
    """It is not finished, and whoever was at it is gone."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of a response's stream."""

    sequence_number: int
    body: JsonObject
