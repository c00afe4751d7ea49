"""What every request must pass before it reaches a route: where it comes from, who sends it, how
large it is, and whether there is room for it."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from kronk_agent.api.caller import CALLER, Caller
from kronk_agent.api.errors import HttpError, error_response
from kronk_agent.api.keys import ApiKey, KeyFile, Scope, hash_key
from kronk_agent.api.limits import Limits
from kronk_agent.config.server import ServerConfig, is_loopback

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_OPEN = ("/health", "/v1/health", "/")
"""These tell nothing of anybody."""
_ADMIN = ("/metrics", "/slots")
_EMBED = ("/v1/embeddings", "/v1/rerank", "/v1/reranking", "/rerank")


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

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)


class Origins:
    """Turns away what a browser sends on behalf of a page that was not allowed.

    Any web page can make a browser ask a server on the same machine (and by DNS rebinding even
    under a name of its own), so the Host must be one of ours, and an Origin an allowed one.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._origins = config.allowed_origins
        self._hosts: tuple[str, ...] | None = None
        """None: any."""
        if config.allowed_hosts or is_loopback(config.host):
            self._hosts = (*_LOOPBACK_NAMES, config.host, *config.allowed_hosts)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(Headers(scope=scope))
            except HttpError as error:
                await error_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(f"//{host}") not in self._hosts:
            raise HttpError(
                f"this server is not called {host!r}: server.allowed_hosts in its YAML names more",
                status=403,
                code="host_not_allowed",
            )
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return
        if urlsplit(origin).netloc == host:  # a page of ours, such as /docs
            return
        raise HttpError(
            f"pages of {origin!r} may not ask: server.allowed_origins in its YAML names those that "
            "may",
            status=403,
            code="origin_not_allowed",
        )


class Admission:
    """Lets a request in: the key it has, the size it has, the room there is."""

    def __init__(self, app: ASGIApp, config: ServerConfig, keys: KeyFile, limits: Limits) -> None:
        self._app = app
        self._max_bytes = config.max_body_bytes
        self._needs_key = config.needs_key
        self._configured = tuple(hash_key(key) for key in config.api_keys)
        self._keys = keys
        self._limits = limits

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            key = self._key(headers)
            caller = Caller() if key is None else Caller(key.id, key.name, key.scopes)
            needed = _scope_of(scope["path"])
            if needed is not None:
                caller.need(needed)
            self._check_size(headers)
            with self._limits.admitted(key):
                token = CALLER.set(caller)
                try:
                    await self._app(scope, self._bounded(receive), send)
                finally:
                    CALLER.reset(token)
        except HttpError as error:
            await error_response(error, scope)(scope, receive, send)

    def _key(self, headers: Headers) -> ApiKey | None:
        """The key of the request; None where none is needed.

        Raises:
            HttpError: one is needed, and there is none, or it is not known (401).
        """
        if not self._needs_key:
            return None
        token = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if not token:
            raise HttpError(
                "an API key is needed, as `Authorization: Bearer KEY` or `x-api-key: KEY`",
                status=401,
                code="api_key_missing",
            )
        given = hash_key(token)
        if any(hmac.compare_digest(given, known) for known in self._configured):
            return ApiKey(name="server.api_keys", hash=given, start="", created=0)
        key = self._keys.find(token)
        if key is None:
            raise HttpError("this API key is not known", status=401, code="invalid_api_key")
        return key

    def _check_size(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        """The same for a body that does not say how long it is."""
        num_bytes = 0

        async def bounded() -> Message:
            nonlocal num_bytes
            message = await receive()
            if message["type"] == "http.request":
                num_bytes += len(message.get("body", b""))
                if num_bytes > self._max_bytes:
                    error = self._too_large()
                    raise HTTPException(error.status, str(error))
            return message

        return bounded

    def _too_large(self) -> HttpError:
        return HttpError(
            f"the request is over {self._max_bytes} bytes: server.max_body_bytes in the server's "
            "YAML says how large one may be",
            status=413,
            code="request_too_large",
        )


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _bearer(header: str) -> str:
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _scope_of(path: str) -> Scope | None:
    """What a key must be for; None: whatever it is for."""
    if path in _ADMIN:
        return "admin"
    if path == "/v1/models" or path.startswith("/v1/models/"):
        return None
    if path == "/mcp" or path.startswith("/mcp/"):
        return "agents"
    return "embed" if path in _EMBED else "generate"
