"""Who a request is from, where keys tell callers apart."""

from __future__ import annotations

from mcp.server.auth.middleware.auth_context import get_access_token


def current_caller() -> str | None:
    """The id of the caller whose request is under way; None where all are one caller."""
    token = get_access_token()
    return None if token is None else token.client_id


def cache_salt() -> str:
    """The salt of the caller's prompts in the prefix cache; the same as over the other APIs."""
    return current_caller() or ""
