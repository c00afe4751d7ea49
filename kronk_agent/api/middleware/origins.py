"""Checks Host and Origin, so that web pages cannot reach the server through a browser."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kronk_agent.api.errors import HttpError, error_response
from kronk_agent.config.schema.server import ServerConfig, is_loopback

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?", re.IGNORECASE)
"""A Host header: a name or an address, with an optional port."""


class HostOriginMiddleware:
    """Rejects requests whose Host or Origin is not allowed.

    Any web page can make a browser send requests to a server on the same machine, by DNS rebinding
    even under the page's own host name. So the Host must be one of ours, and an Origin an allowed
    one.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._origins = config.allowed_origins
        self._hosts: frozenset[str] | None = None
        """None allows any host."""
        if config.allowed_hosts or is_loopback(config.host):
            names = (*_LOOPBACK_NAMES, config.host, *config.allowed_hosts)
            self._hosts = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(Headers(scope=scope), scope["scheme"])
            except HttpError as error:
                await error_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers, scheme: str) -> None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            raise HttpError(
                f"host {host!r} is not allowed: add its name to server.allowed_hosts in the "
                "server's YAML",
                status=403,
                code="host_not_allowed",
            )
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return
        if origin == f"{scheme}://{host}":  # one of our own pages, such as /docs
            return
        raise HttpError(
            f"origin {origin!r} is not allowed: add it to server.allowed_origins in the server's "
            "YAML",
            status=403,
            code="origin_not_allowed",
        )


def _name(host: str) -> str:
    """The name or address in a Host header; empty if it is neither."""
    found = _HOST.fullmatch(host)
    return (found["ipv6"] or found["name"]).lower() if found else ""
