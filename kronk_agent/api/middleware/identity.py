"""The API client of the current request, available anywhere below the security middleware."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.api_keys import SCOPES, Scope


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The sender of a request, as authenticated by its API key."""

    id: str = ""
    """Id of the key, independent of its name; "" where no key is needed: then all clients are
    one."""
    name: str | None = None
    """Name of the key, for people to read; None where no key is needed."""
    scopes: tuple[Scope, ...] = SCOPES

    def need(self, scope: Scope) -> None:
        """Check that the client's key has a scope.

        Raises:
            HttpError: the key lacks the scope (403).
        """
        if scope not in self.scopes:
            raise HttpError(
                f"API key {self.name!r} lacks scope {scope!r} (it has {', '.join(self.scopes)}): "
                f"create a key with `kronk-agent keys create NAME --scope {scope}`",
                status=403,
                code="scope_missing",
            )


CURRENT_CLIENT: ContextVar[ApiClient | None] = ContextVar("api_client", default=None)
"""The client of the current request; set by the authentication middleware."""


def current_client() -> ApiClient:
    """Return the client of the current request, or an anonymous one outside of a request."""
    return CURRENT_CLIENT.get() or ApiClient()
