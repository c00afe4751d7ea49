"""A server of ours as an ASGI application, streamable HTTP, for another application to mount.

Keys, Host and Origin are for that application to check before.
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
"""Of clients of before 2026, who have such; one more is refused."""
IDLE_SECONDS = 1800.0
"""Without a request, until a session is over."""


class McpApp:
    """The application; it answers while ``serving`` is open.

    Args:
        server: what is served. There is one application for it.
        caller: the name of whoever the request under way is from: sessions, tasks and calls are
            theirs alone. None where callers are not told apart.
        max_body_bytes: size of a request at most.
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
        # Not json_response: it would lose progress and questions.
        self._manager = StreamableHTTPSessionManager(
            server,
            max_request_body_size=max_body_bytes,
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MAX_SESSIONS,
        )
        self._inner: ASGIApp = AuthContextMiddleware(self._manager.asgi_app)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer inside the block, once. At its end sessions and what goes on in them are over."""
        async with self._manager.run():
            self._is_open = True
            try:
                yield
            finally:
                self._is_open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_open:
            error = t.ErrorData(code=t.INTERNAL_ERROR, message="the server is starting or ending")
            body = {"jsonrpc": "2.0", "id": None, "error": error.model_dump(exclude_none=True)}
            await JSONResponse(body, status_code=503)(scope, receive, send)
            return
        name = self._caller()
        if name is not None:
            token = AccessToken(token="", client_id=name, scopes=[])
            scope = {**scope, "user": AuthenticatedUser(token)}
        await self._inner(scope, receive, send)
