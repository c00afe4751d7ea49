"""An MCP server as an ASGI application (streamable HTTP) to mount in another application.

The mounting application must check API keys, Host and Origin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import mcp.types as t
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kronk_mcp_servers.serving.server import LayeredServer

MAX_SESSIONS = 1000
"""Maximum sessions of clients from before 2026; further ones are rejected."""
IDLE_SECONDS = 1800.0
"""Time without a request until a session ends."""


class McpApp:
    """The ASGI application; it answers requests while ``serving`` is open.

    Args:
        server: the MCP server; one application per server.
        caller: returns the ID of the current request's caller, to which sessions, tasks and calls
            are restricted; None if callers are not distinguished.
        max_body_bytes: maximum size of a request.
    """

    def __init__(
        self,
        server: LayeredServer,
        *,
        caller: Callable[[], str | None] = lambda: None,
        max_body_bytes: int,
    ) -> None:
        self._caller = caller
        self._is_open = False
        # Not json_response: it cannot transport progress and elicitation.
        self._manager = StreamableHTTPSessionManager(
            server,
            max_request_body_size=max_body_bytes,
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MAX_SESSIONS,
        )
        self._inner: ASGIApp = AuthContextMiddleware(self._manager.asgi_app)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer requests inside the block, once. At its end all sessions end."""
        async with self._manager.run():
            self._is_open = True
            try:
                yield
            finally:
                self._is_open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_open:
            error = t.ErrorData(code=t.INTERNAL_ERROR, message="the server is starting or stopping")
            body = {"jsonrpc": "2.0", "id": None, "error": error.model_dump(exclude_none=True)}
            await JSONResponse(body, status_code=503)(scope, receive, send)
            return
        name = self._caller()
        if name is not None:
            token = AccessToken(token="", client_id=name, scopes=[])
            scope = {**scope, "user": AuthenticatedUser(token)}
        await self._inner(scope, receive, send)
