"""Sessions with their messages and items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_owner", "sessions", ["owner"])
    for table in ("messages", "items"):
        op.create_table(
            table,
            sa.Column("number", sa.Integer(), nullable=False, autoincrement=True),
            sa.Column("session_id", sa.String(), nullable=False),
            sa.Column("body", sa.JSON(), nullable=False),
            sa.ForeignKeyConstraint(
                ["session_id"], ["sessions.id"], f"fk_{table}_session_id", ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint("number", name=f"pk_{table}"),
        )
        op.create_index(f"ix_{table}_session_id", table, ["session_id"])
