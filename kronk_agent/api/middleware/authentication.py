"""Admits requests: checks the API key and its scope, reads the body, applies the limits."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from kronk_agent.api.errors import HttpError, error_response
from kronk_agent.api.middleware.api_keys import ApiKey, KeyFile, Scope, hash_key
from kronk_agent.api.middleware.bodies import Bodies, check_json, declared_as_json, replayed
from kronk_agent.api.middleware.identity import CURRENT_CLIENT, ApiClient
from kronk_agent.api.middleware.rate_limits import RateLimits
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.engine.structured_output.share import COMPILING_FOR

PUBLIC_PATHS = ("/health", "/v1/health", "/")
"""Paths that need no key; they reveal nothing about clients or models."""
_ADMIN = ("/metrics", "/slots")
_EMBED = (
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/reranking",
    "/rerank",
    "/reranking",
    "/embedding",
    "/embeddings",
    "/api/embed",
    "/api/embeddings",
)
_LISTS = ("/v1/models", "/models", "/api/tags", "/api/show", "/api/ps", "/api/version")
"""Paths that list models, for keys of any scope."""

_UNDECLARED_JSON_PREFIX = "/api/"
"""Ollama's clients (LiteLLM, ``curl -d``) send JSON without declaring it."""


class AuthMiddleware:
    """Admits a request, or answers it with an error."""

    def __init__(
        self, app: ASGIApp, config: ServerConfig, keys: KeyFile, limits: RateLimits
    ) -> None:
        self._app = app
        self._needs_key = config.needs_key
        self._configured = tuple(hash_key(key) for key in config.api_keys)
        self._keys = keys
        self._limits = limits
        self._bodies = Bodies(config.max_body_bytes)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope, receive, send)
        except HttpError as error:
            await error_response(error, scope)(scope, receive, send)

    async def _admit(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        key = self._key(headers)
        client = ApiClient() if key is None else ApiClient(key.id, key.name, key.scopes)
        needed = _scope_of(scope["path"])
        if needed is not None:
            client.need(needed)
        client_id = client.id or _address(scope)
        self._bodies.check_size(_length(headers))
        body = await self._bodies.read(receive, client_id)
        if body is None:
            return
        if (
            body
            and scope["path"].startswith(_UNDECLARED_JSON_PREFIX)
            and not _is_from_browser(headers)
        ):
            scope = declared_as_json(scope)
        elif body and not _is_mcp(scope["path"]):
            check_json(headers.get("content-type", ""))
        with self._limits.admitted(key, client_id):
            token = CURRENT_CLIENT.set(client)
            COMPILING_FOR.set(client_id)
            try:
                await self._app(scope, replayed(body, receive), send)
            finally:
                CURRENT_CLIENT.reset(token)

    def _key(self, headers: Headers) -> ApiKey | None:
        """The request's key; None where none is needed.

        Raises:
            HttpError: the key is missing or unknown (401).
        """
        if not self._needs_key:
            return None
        token = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if not token:
            raise HttpError(
                "API key missing: send `Authorization: Bearer KEY` or `x-api-key: KEY`",
                status=401,
                code="api_key_missing",
            )
        given = hash_key(token)
        if any(hmac.compare_digest(given, configured) for configured in self._configured):
            return ApiKey(name="server.api_keys", hash=given, start="", created=0)
        key = self._keys.find(token)
        if key is None:
            raise HttpError("unknown API key", status=401, code="invalid_api_key")
        return key


def _length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _address(scope: AsgiScope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _bearer(header: str) -> str:
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _is_from_browser(headers: Headers) -> bool:
    """True if a browser sends the request for a web page: all browsers set one of these headers."""
    return "origin" in headers or "sec-fetch-site" in headers


def _is_mcp(path: str) -> bool:
    return path == "/mcp" or path.startswith("/mcp/")


def _scope_of(path: str) -> Scope | None:
    """The scope that a path requires; None if a key of any scope suffices."""
    if path in _ADMIN:
        return "admin"
    if path in _LISTS or path.startswith(("/v1/models/", "/models/")):
        return None
    if _is_mcp(path):
        return "agents"
    return "embed" if path in _EMBED else "generate"
