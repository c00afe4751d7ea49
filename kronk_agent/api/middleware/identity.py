"""Who asks, for code that is far from the connection."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.api_keys import SCOPES, Scope


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Whoever a request is from."""

    id: str = ""
    """Of their key, whatever its name; "" where no key is needed: then all are one caller."""
    name: str | None = None
    """Of their key, for people to read."""
    scopes: tuple[Scope, ...] = SCOPES

    def need(self, scope: Scope) -> None:
        """Go on only if they may.

        Raises:
            HttpError: they may not (403).
        """
        if scope not in self.scopes:
            raise HttpError(
                f"the API key {self.name!r} is for {', '.join(self.scopes)}, and this is {scope}: "
                f"`kronk-agent keys create NAME --scope {scope}` makes one that may",
                status=403,
                code="scope_missing",
            )


CURRENT_CLIENT: ContextVar[ApiClient | None] = ContextVar("api_client", default=None)
"""Of the request that is being answered; set by the guard."""


def current_client() -> ApiClient:
    """Whoever the request that is being answered is from."""
    return CURRENT_CLIENT.get() or ApiClient()


current_caller = current_client  # former name, for the request modules that still use it
