"""Security checks of every request: Host, Origin, API key, body and limits."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.api.middleware.authentication import AuthMiddleware
from kronk_agent.api.middleware.origins import HostOriginMiddleware
from kronk_agent.api.middleware.rate_limits import RateLimits
from kronk_agent.config.schema.server import ServerConfig

__all__ = ["RateLimits", "SecurityMiddleware"]


class SecurityMiddleware:
    """Runs the security checks in order, as configured."""

    def __init__(
        self, app: ASGIApp, *, config: ServerConfig, keys: KeyFile, limits: RateLimits
    ) -> None:
        inner: ASGIApp = AuthMiddleware(app, config, keys, limits)
        if config.allowed_origins:
            inner = CORSMiddleware(
                inner,
                allow_origins=config.allowed_origins,
                allow_methods=["*"],
                allow_headers=["*"],
            )
        self._outermost = HostOriginMiddleware(inner, config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)
