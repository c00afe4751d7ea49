"""Everything the YAML file may say, and the defaults, which ``configs/default.yaml`` repeats.

A validator's words complete "KEY: …" for a person and never repeat the value, which may be a
secret. A field with ``repr=False`` holds secrets: it is masked wherever a configuration is shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kronk_agent.config.schema.agent import AgentConfig as AgentConfig
from kronk_agent.config.schema.agent import AgentName
from kronk_agent.config.schema.agent import NamedAgentConfig as NamedAgentConfig
from kronk_agent.config.schema.agent import SamplingConfig as SamplingConfig
from kronk_agent.config.schema.base import (
    Network,
    NotEmptyNames,
    Seconds,
    Section,
    ServerName,
    ToolPattern,
    Url,
    check_not_empty,
)
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.mcp_server import McpServerConfig as McpServerConfig
from kronk_agent.config.schema.model import ModelConfig
from kronk_agent.config.schema.serve_mcp import ServeMcpConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.tools.policy import Permission


def _check_region(region: str) -> str:
    if not re.fullmatch(r"[a-z]{2}-[a-z]{2,3}", region):
        raise ValueError("must be a country and a language, such as us-en or de-de")
    return region


class SearchResultConfig(Section):
    """A page that the provider `static` can find."""

    title: str
    """Its title."""
    url: Url
    """Its address."""
    snippet: str = ""
    """What it is about."""
    date: str | None = None
    """When it was published."""


class SearchProviderConfig(Section):
    """Where web_search searches."""

    type: Literal["ddgs", "searxng", "brave", "tavily", "exa", "serper", "static"]
    """ddgs asks public search engines, searxng a server of your own; static is for tests."""
    api_key: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """The key of brave, tavily, exa or serper. Write it as ${VAR}."""
    base_url: Url | None = None
    """Where it is reached. searxng needs it; null for the others: where their makers have it."""
    backends: NotEmptyNames | None = None
    """Search engines for ddgs to ask. null: duckduckgo, brave, mojeek and startpage."""
    results: tuple[SearchResultConfig, ...] | None = None
    """What static can find."""

    @model_validator(mode="after")
    def _what_the_type_takes(self) -> SearchProviderConfig:
        needs = {"searxng": "base_url", "ddgs": None, "static": "results"}.get(self.type, "api_key")
        if needs is not None and getattr(self, needs) is None:
            raise ValueError(f"{self.type} needs {needs}")
        takes = {"ddgs": ["backends"], "searxng": ["base_url"], "static": ["results"]}
        mine = takes.get(self.type, ["api_key", "base_url"])
        others = [name for name in _PROVIDER_KEYS if name not in mine and getattr(self, name)]
        if others:
            raise ValueError(f"{', '.join(others)}: not with {self.type}")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = dump(self)
        return {key: value for key, value in written.items() if value is not None}


_PROVIDER_KEYS = ("api_key", "base_url", "backends", "results")


class WebSearchConfig(Section):
    """The built-in tool web_search."""

    providers: Annotated[
        tuple[SearchProviderConfig, ...],
        AfterValidator(check_not_empty),
        Field(json_schema_extra={"minItems": 1}),
    ] = (SearchProviderConfig(type="ddgs"),)
    """Asked in this order: the next one when one fails or finds nothing."""
    region: Annotated[str, AfterValidator(_check_region)] = "us-en"
    """Country and language of the results."""
    timeout_seconds: Seconds = 15.0
    """For the answer of one provider."""
    cache_seconds: Annotated[float, Field(ge=0)] = 600.0
    """How long the same search is answered as it was before."""
    proxy: Annotated[Url | None, Field(repr=False)] = None
    """A proxy for all providers."""


class WebFetchConfig(Section):
    """The built-in tool web_fetch."""

    timeout_seconds: Seconds = 30.0
    """For the whole fetch, redirects included."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10_000_000
    """Size of a page at most, after decompression."""
    url_policy: Literal["prior_context", "any"] = "prior_context"
    """prior_context: only addresses that you, a search or a page brought up; any: all of them."""
    robots: bool = True
    """May a site's robots.txt keep its pages from being read?"""
    requests_per_host: Annotated[int, Field(ge=1)] = 2
    """Requests to the same site at the same time."""
    delay_seconds: Annotated[float, Field(ge=0)] = 0.5
    """Between two requests to the same site."""
    cache_seconds: Annotated[float, Field(ge=0)] = 300.0
    """How long a page that was read is not asked for again."""
    cache_bytes: Annotated[int, Field(ge=0)] = 50_000_000
    """What the pages that are kept may take in memory, and again as much on disk."""
    cache_dir: Path | None = None
    """Folder that keeps them beyond the end of the program. null: none."""
    allow_private: tuple[Network, ...] = ()
    """Private, loopback and other special networks that may be fetched from, e.g. 127.0.0.0/8."""
    allow_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Ports beside 80 and 443."""
    proxy: Annotated[Url | None, Field(repr=False)] = None
    """A proxy for all fetches; then it is the proxy that checks the addresses."""


def _check_store_url(url: str) -> str:
    if not url.startswith(("sqlite://", "postgresql://", "postgres://")):
        raise ValueError("must start with sqlite:/// or postgresql://")
    return url


StoreUrl: TypeAlias = Annotated[
    str,
    AfterValidator(_check_store_url),
    Field(json_schema_extra={"pattern": "^(sqlite|postgres(ql)?)://"}),
]


class SessionsConfig(Section):
    """Where conversations are kept."""

    url: Annotated[StoreUrl | None, Field(repr=False)] = None
    """postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH. null: a SQLite file of yours."""
    retention_days: Annotated[float, Field(gt=0)] | None = 30.0
    """How long responses are kept that belong to no conversation. null: for ever."""


class Config(Section):
    """The whole file."""

    model: str | None = None
    """Path of a GGUF file, or a name from models. null: the starter model."""
    models: dict[str, ModelConfig] = Field(default_factory=dict)
    """Names for GGUF files, with another chat template if need be, and for models elsewhere."""
    engine: EngineConfig = EngineConfig()
    sampling: SamplingConfig = SamplingConfig()
    agent: AgentConfig = AgentConfig()
    agents: dict[AgentName, NamedAgentConfig] = Field(default_factory=dict)
    """More agents, by name; what one does not say is as under agent and sampling."""
    tools: tuple[str, ...] = ("web_search", "web_fetch")
    """web_search, web_fetch, and your own functions as module:function or ./file.py:function."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """May a tool be called: allow, ask or deny, by the name the model sees, or only with a value of
    an argument: TOOL(ARGUMENT=VALUE). * and ? stand for any text. deny wins over allow, allow over
    ask. What is not named may."""
    web_search: WebSearchConfig = WebSearchConfig()
    web_fetch: WebFetchConfig = WebFetchConfig()
    sessions: SessionsConfig = SessionsConfig()
    server: ServerConfig = ServerConfig()
    serve_mcp: ServeMcpConfig = ServeMcpConfig()
    mcp_servers: dict[ServerName, McpServerConfig] = Field(default_factory=dict)
    """MCP servers whose tools the agent may use, by name."""

    @model_validator(mode="after")
    def _prefixes_differ(self) -> Config:
        owners: dict[str, str] = {}
        for name, server in self.mcp_servers.items():
            other = owners.setdefault(server.prefix or name, name)
            if other != name:
                words = f"{other} and {name} would give their tools the same prefix"
                raise ValueError(f"mcp_servers: {words}: change the prefix of one")
        return self
