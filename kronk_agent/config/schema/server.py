"""How ``kronk-agent serve`` serves."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field

from kronk_agent.config.schema.base import Seconds, Section, Url

_Secret: TypeAlias = Annotated[str, Field(min_length=8)]
_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII but the backslash, which not everybody takes for the same."""
_LEADS_ELSEWHERE = re.compile(r"\.\.|%(2e|2f|5c)", re.IGNORECASE)
"""In a path, which others may resolve: dots that go up, also written as escapes."""


class ServerConfig(Section):
    """The HTTP server, `kronk-agent serve`."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network this machine is on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11435
    """Port to listen on; 0 takes one that is free."""
    keep_alive_seconds: Seconds = 15.0
    """A stream that has said nothing for so long sends a comment, so that it is not given up."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """At the end, how long requests that are under way may still take."""
    require_api_key: bool | None = None
    """Must requests have an API key? null: as soon as host is more than this machine."""
    api_keys: Annotated[tuple[_Secret, ...], Field(repr=False)] = ()
    """Keys beside those of `kronk-agent keys`, for everything but admin. Write them as ${VAR}."""
    allowed_hosts: tuple[str, ...] = ()
    """Names the server is reached by, beside localhost; where host is this machine alone, or where
    any are named, requests to others are refused."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may ask, such as https://app.example; "*" is all."""
    share_agent_prefixes: bool = True
    """Callers share the cached states of agents' own instructions and tools, and nothing else.
    false: each caller's first prompt computes them anew."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 32_000_000
    """Size of a request at most."""
    max_requests: Annotated[int, Field(ge=1)] = 256
    """Requests under way at the same time; one more is refused at once."""
    max_requests_per_caller: Annotated[int, Field(ge=1)] | None = None
    """Of one API key, or of one address where no key is needed. null: three quarters of all."""
    max_connections: Annotated[int, Field(ge=1)] = 1024
    """Connections at the same time, and at most half of the files this process may open. One more
    closes the one that has waited longest without a whole request."""
    read_seconds: Seconds = 30.0
    """A request must be whole after so long, and a second more for each 64 kB of it."""
    write_seconds: Seconds = 60.0
    """A client that reads nothing of its response for so long is cut off."""

    model_aliases: dict[str, str] = Field(default_factory=dict)
    """Other names that requests may give as their model, and whose they are; * and ? stand for any
    text. Names of models and agents come first, then the first alias that fits."""
    reasoning: Literal["auto", "on", "off"] = "auto"
    """Whether plain models think where a request does not say; auto: as their templates do."""
    reasoning_budget: Annotated[int, Field(ge=0)] | None = None
    """Tokens of thinking at most, where a request does not say; null is no limit."""

    allow_server_urls: tuple[Url, ...] = ()
    """Where requests may lead to MCP servers of their own: what the addresses begin with, such as
    https://mcp.example.com/; empty is nowhere. Private addresses are as good as others here."""

    @property
    def share_of_caller(self) -> int:
        """Requests of one caller at the same time."""
        if self.max_requests_per_caller is not None:
            return self.max_requests_per_caller
        return max(1, self.max_requests * 3 // 4)

    @property
    def needs_key(self) -> bool:
        if self.require_api_key is not None:
            return self.require_api_key
        return not is_loopback(self.host)

    def allows_server_url(self, url: str) -> bool:
        """May a request make this server connect there?"""
        return any(_is_below(url, start) for start in self.allow_server_urls)


def _is_below(url: str, start: str) -> bool:
    """Is an address another, or below it? The host is compared as a whole."""
    try:
        given, allowed = urlsplit(url), urlsplit(start)
        origins = [
            (one.scheme, one.hostname, one.port or _PORTS.get(one.scheme))
            for one in (given, allowed)
        ]
    except ValueError:
        return False
    if origins[0] != origins[1] or given.username is not None or not _PLAIN.fullmatch(url):
        return False
    root = allowed.path.rstrip("/")
    is_below = given.path == root or given.path.startswith(f"{root}/")
    return is_below and not _LEADS_ELSEWHERE.search(given.path)


def is_loopback(host: str) -> bool:
    """Can only this machine reach an address?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
