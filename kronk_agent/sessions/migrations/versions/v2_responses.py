"""Responses, which have messages and items of their own unless they belong to a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v2"
down_revision = "v1"


def upgrade() -> None:
    """Create and extend the tables."""
    op.create_table(
        "responses",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("session_id", sa.String()),
        sa.Column("session_end", sa.Integer()),
        sa.Column("previous_id", sa.String()),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("alive_until", sa.Float()),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], "fk_responses_session_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_responses"),
    )
    for column in ("session_id", "previous_id", "created_at"):
        op.create_index(f"ix_responses_{column}", "responses", [column])
    for table in ("messages", "items"):
        with op.batch_alter_table(table) as batch:  # SQLite alters a table by copying it
            batch.alter_column("session_id", existing_type=sa.String(), nullable=True)
            batch.add_column(sa.Column("response_id", sa.String()))
            batch.create_foreign_key(
                f"fk_{table}_response_id", "responses", ["response_id"], ["id"], ondelete="CASCADE"
            )
            batch.create_check_constraint(
                f"ck_{table}_owned_by_one", "(session_id IS NULL) <> (response_id IS NULL)"
            )
            batch.create_index(f"ix_{table}_response_id", ["response_id"])
    op.create_table(
        "response_events",
        sa.Column("response_id", sa.String(), nullable=False),
        sa.Column("sequence_number", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["response_id"],
            ["responses.id"],
            "fk_response_events_response_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("response_id", "sequence_number", name="pk_response_events"),
    )
