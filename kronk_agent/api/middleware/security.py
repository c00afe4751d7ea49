"""Checks every request before it reaches a route: its Host and Origin, its key, its body, and
whether there is room for it."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.api.middleware.authentication import Admission
from kronk_agent.api.middleware.origins import Origins
from kronk_agent.api.middleware.rate_limits import Limits
from kronk_agent.config.schema.server import ServerConfig

__all__ = ["Guard", "Limits"]


class Guard:
    """Stands before an application, as the configuration says."""

    def __init__(
        self, app: ASGIApp, *, config: ServerConfig, keys: KeyFile, limits: Limits
    ) -> None:
        inner: ASGIApp = Admission(app, config, keys, limits)
        if config.allowed_origins:
            inner = CORSMiddleware(
                inner,
                allow_origins=config.allowed_origins,
                allow_methods=["*"],
                allow_headers=["*"],
            )
        self._outermost = Origins(inner, config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)
