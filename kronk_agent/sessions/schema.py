"""The tables. ``migrations`` creates them; a test checks that both are equal."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    # ID of the API key; empty for the local user.
    Column("owner", String, nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("session_id", ForeignKey("sessions.id", ondelete="SET NULL"), index=True),
    # The last message of the session when this response finished.
    Column("session_end", Integer),
    # Not a foreign key: the earlier response may be deleted, which ends the chain.
    Column("previous_id", String, index=True),
    Column("status", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", Float, nullable=False, index=True),
    # Lease of the process that works on it; NULL when final.
    Column("alive_until", Float),
)


def _owned_by_one() -> CheckConstraint:
    return CheckConstraint("(session_id IS NULL) <> (response_id IS NULL)", name="owned_by_one")


# Messages for the model, ordered by number.
messages = Table(
    "messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("session_id", ForeignKey("sessions.id", ondelete="CASCADE"), index=True),
    Column("response_id", ForeignKey("responses.id", ondelete="CASCADE"), index=True),
    Column("body", JSON, nullable=False),
    _owned_by_one(),
)

# Items as shown by the API: those of a session, and the input of a response.
items = Table(
    "items",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("session_id", ForeignKey("sessions.id", ondelete="CASCADE"), index=True),
    Column("response_id", ForeignKey("responses.id", ondelete="CASCADE"), index=True),
    Column("body", JSON, nullable=False),
    _owned_by_one(),
)

# The stream of a background response, for replay.
response_events = Table(
    "response_events",
    metadata,
    Column("response_id", ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence_number", Integer, primary_key=True),
    Column("body", JSON, nullable=False),
)
