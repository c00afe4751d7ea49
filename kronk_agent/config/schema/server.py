"""Settings of the HTTP server, ``kronk-agent serve``."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field

from kronk_agent.config.schema.base import Seconds, Section, Url

_Secret: TypeAlias = Annotated[str, Field(min_length=8)]
_PORTS = {"http": 80, "https": 443}
_PLAIN_URL = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII except the backslash, which URL parsers interpret differently."""
_PATH_TRAVERSAL = re.compile(r"\.\.|%(2e|2f|5c)", re.IGNORECASE)
"""Dot segments in a path, also percent-encoded, which a server may resolve."""


class ServerConfig(Section):
    """The HTTP server, `kronk-agent serve`."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all interfaces."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11435
    """Port to listen on; 0: any free port."""
    keep_alive_seconds: Seconds = 15.0
    """An idle stream sends a keep-alive comment after this time."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """On shutdown, how long requests in progress may still take."""
    require_api_key: bool | None = None
    """Require an API key. null: unless host is a loopback address."""
    api_keys: Annotated[tuple[_Secret, ...], Field(repr=False)] = ()
    """Additional keys, valid for everything except admin. Write them as ${VAR}."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names of the server besides localhost.

    If host is a loopback address or this list is not empty, requests for other hosts are refused.
    """
    allowed_origins: tuple[str, ...] = ()
    """Origins allowed by CORS, such as https://app.example; "*" allows all."""
    share_agent_prefixes: bool = True
    """Share the cached prefixes of agents' instructions and tools between callers.

    false: each caller's first prompt computes them again.
    """
    max_body_bytes: Annotated[int, Field(ge=1024)] = 32_000_000
    """Maximum size of a request."""
    max_requests: Annotated[int, Field(ge=1)] = 256
    """Maximum concurrent requests; further ones are rejected immediately."""
    max_requests_per_caller: Annotated[int, Field(ge=1)] | None = None
    """The same per API key, or per client address without keys. null: three quarters of all."""
    max_connections: Annotated[int, Field(ge=1)] = 1024
    """Maximum open connections, also limited to half of the open-file limit.

    A further one closes the connection that has waited longest without a complete request.
    """
    read_seconds: Seconds = 30.0
    """Time for a request to arrive, plus one second per 64 kB of it."""
    write_seconds: Seconds = 60.0
    """A client that reads nothing of its response for this time is disconnected."""

    model_aliases: dict[str, str] = Field(default_factory=dict)
    """Aliases for model names in requests; * and ? are wildcards.

    Names of models and agents take precedence, then the first alias that matches.
    """
    reasoning: Literal["auto", "on", "off"] = "auto"
    """Default reasoning of plain models; auto: as the chat template does."""
    reasoning_budget: Annotated[int, Field(ge=0)] | None = None
    """Default maximum of reasoning tokens. null: no limit."""

    allow_server_urls: tuple[Url, ...] = ()
    """URL prefixes of the inline MCP servers that requests may use; empty: none.

    For example https://mcp.example.com/. Private addresses are allowed if listed.
    """

    @property
    def share_of_caller(self) -> int:
        """Maximum concurrent requests of one caller."""
        if self.max_requests_per_caller is not None:
            return self.max_requests_per_caller
        return max(1, self.max_requests * 3 // 4)

    @property
    def needs_key(self) -> bool:
        """True if requests need an API key."""
        if self.require_api_key is not None:
            return self.require_api_key
        return not is_loopback(self.host)

    def allows_server_url(self, url: str) -> bool:
        """True if a request may make this server connect to the URL."""
        return any(_has_prefix(url, start) for start in self.allow_server_urls)


def _has_prefix(url: str, start: str) -> bool:
    """True if ``url`` is ``start`` or below it; host and port must be equal."""
    try:
        given, allowed = urlsplit(url), urlsplit(start)
        origins = [
            (one.scheme, one.hostname, one.port or _PORTS.get(one.scheme))
            for one in (given, allowed)
        ]
    except ValueError:
        return False
    if origins[0] != origins[1] or given.username is not None or not _PLAIN_URL.fullmatch(url):
        return False
    root = allowed.path.rstrip("/")
    is_below = given.path == root or given.path.startswith(f"{root}/")
    return is_below and not _PATH_TRAVERSAL.search(given.path)


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
