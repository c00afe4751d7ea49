"""The caller of the current request, if API keys distinguish callers."""

from __future__ import annotations

from mcp.server.auth.middleware.auth_context import get_access_token


def current_caller() -> str | None:
    """Return the ID of the current request's caller; None if callers are not distinguished."""
    token = get_access_token()
    return None if token is None else token.client_id


def cache_salt() -> str:
    """Return the salt for the caller's prompts in the prefix cache, as in the HTTP APIs."""
    return current_caller() or ""
