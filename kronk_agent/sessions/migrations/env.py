"""Alembic runs this for each command; ``database.py`` passes the connection."""

from __future__ import annotations

from alembic import context

from kronk_agent.sessions.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
