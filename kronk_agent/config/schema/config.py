"""The schema of the YAML file with its defaults, which ``configs/default.yaml`` repeats.

A validator's message completes "KEY: ..." and never repeats the value, which may be a secret. A
field with ``repr=False`` holds secrets: it is masked wherever a configuration is shown.
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
    """A fixed search result of the provider `static`."""

    title: str
    """Title of the page."""
    url: Url
    """URL of the page."""
    snippet: str = ""
    """Summary of the page."""
    date: str | None = None
    """Publication date."""


class SearchProviderConfig(Section):
    """A search provider of web_search."""

    type: Literal["ddgs", "searxng", "brave", "tavily", "exa", "serper", "static"]
    """ddgs: public search engines; searxng: your own server; static: fixed results for tests."""
    api_key: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """API key for brave, tavily, exa or serper. Write it as ${VAR}."""
    base_url: Url | None = None
    """Base URL; required for searxng. null: the provider's public one."""
    backends: NotEmptyNames | None = None
    """Search engines that ddgs queries. null: duckduckgo, brave, mojeek and startpage."""
    results: tuple[SearchResultConfig, ...] | None = None
    """The results of static."""

    @model_validator(mode="after")
    def _check_provider_keys(self) -> SearchProviderConfig:
        needs = {"searxng": "base_url", "ddgs": None, "static": "results"}.get(self.type, "api_key")
        if needs is not None and getattr(self, needs) is None:
            raise ValueError(f"{self.type} requires {needs}")
        takes = {"ddgs": ["backends"], "searxng": ["base_url"], "static": ["results"]}
        accepted = takes.get(self.type, ["api_key", "base_url"])
        others = [name for name in _PROVIDER_KEYS if name not in accepted and getattr(self, name)]
        if others:
            raise ValueError(f"{', '.join(others)}: not supported by {self.type}")
        return self

    @model_serializer(mode="wrap")
    def _serialize_set_keys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
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
    """Tried in this order: the next one if one fails or finds nothing."""
    region: Annotated[str, AfterValidator(_check_region)] = "us-en"
    """Country and language of the results, such as us-en."""
    timeout_seconds: Seconds = 15.0
    """Timeout of one provider."""
    cache_seconds: Annotated[float, Field(ge=0)] = 600.0
    """Seconds for which results are cached."""
    proxy: Annotated[Url | None, Field(repr=False)] = None
    """A proxy for all providers."""


class WebFetchConfig(Section):
    """The built-in tool web_fetch."""

    timeout_seconds: Seconds = 30.0
    """Timeout of the whole fetch, including redirects."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10_000_000
    """Maximum size of a page after decompression."""
    url_policy: Literal["prior_context", "any"] = "prior_context"
    """prior_context: only URLs that you, a search or a page mentioned; any: all URLs."""
    robots: bool = True
    """Obey robots.txt."""
    requests_per_host: Annotated[int, Field(ge=1)] = 2
    """Maximum concurrent requests per site."""
    delay_seconds: Annotated[float, Field(ge=0)] = 0.5
    """Delay between two requests to the same site."""
    cache_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Seconds for which a fetched page is cached."""
    cache_bytes: Annotated[int, Field(ge=0)] = 50_000_000
    """Maximum size of the page cache in memory, and the same again on disk."""
    cache_dir: Path | None = None
    """Directory of a persistent page cache. null: none."""
    allow_private: tuple[Network, ...] = ()
    """Private, loopback and other special networks to allow, e.g. 127.0.0.0/8."""
    allow_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Allowed ports besides 80 and 443."""
    proxy: Annotated[Url | None, Field(repr=False)] = None
    """A proxy for all fetches; the proxy must then check the addresses."""


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
    """The database that stores conversations."""

    url: Annotated[StoreUrl | None, Field(repr=False)] = None
    """postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH. null: the user's SQLite file."""
    retention_days: Annotated[float, Field(gt=0)] | None = 30.0
    """Days to keep responses that belong to no conversation. null: forever."""


class Config(Section):
    """The complete configuration."""

    model: str | None = None
    """Path of a GGUF file, or a name from models. null: the starter model."""
    models: dict[str, ModelConfig] = Field(default_factory=dict)
    """Named models: GGUF files, optionally with settings, and remote models."""
    engine: EngineConfig = EngineConfig()
    sampling: SamplingConfig = SamplingConfig()
    agent: AgentConfig = AgentConfig()
    agents: dict[AgentName, NamedAgentConfig] = Field(default_factory=dict)
    """More agents, by name; unset keys inherit from agent and sampling."""
    tools: tuple[str, ...] = ("web_search", "web_fetch")
    """web_search, web_fetch, and your own functions as module:function or ./file.py:function."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """Rules that allow, deny or ask about tool calls.

    Keys are tool names as the model sees them, or TOOL(ARGUMENT=VALUE); * and ? are wildcards. deny
    takes precedence over allow, and allow over ask. Unlisted tools are allowed.
    """
    web_search: WebSearchConfig = WebSearchConfig()
    web_fetch: WebFetchConfig = WebFetchConfig()
    sessions: SessionsConfig = SessionsConfig()
    server: ServerConfig = ServerConfig()
    serve_mcp: ServeMcpConfig = ServeMcpConfig()
    mcp_servers: dict[ServerName, McpServerConfig] = Field(default_factory=dict)
    """MCP servers whose tools the agent can use, by name."""

    @model_validator(mode="after")
    def _check_prefixes(self) -> Config:
        owners: dict[str, str] = {}
        for name, server in self.mcp_servers.items():
            other = owners.setdefault(server.prefix or name, name)
            if other != name:
                message = f"{other} and {name} have the same tool prefix: change one of them"
                raise ValueError(f"mcp_servers: {message}")
        return self
