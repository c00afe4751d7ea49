"""Everything the YAML file may say, and the defaults, which ``configs/default.yaml`` repeats."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds: TypeAlias = Annotated[float, Field(gt=0)]
Network: TypeAlias = IPv4Network | IPv6Network


class Section(BaseModel):
    """A part of the file: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EngineConfig(Section):
    """How models are loaded and run."""

    context_length: Annotated[int, Field(ge=256)] | None = None
    """Tokens that all running conversations share. null: the model's own, 16384 at most."""
    max_sequences: Annotated[int, Field(ge=1, le=256)] = 16
    """Generations that may run at the same time."""
    batch_size: Annotated[int, Field(ge=32)] = 512
    """Tokens decoded in one step, all generations together."""
    gpu_layers: Annotated[int, Field(ge=-1)] = -1
    """Layers put on the GPU where the build has one; -1 is all of them."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads. null: one for each core."""
    queue_limit: Annotated[int, Field(ge=1)] = 64
    """Requests that may wait; one more is refused at once."""


class SamplingConfig(Section):
    """How tokens are chosen when a request does not say."""

    temperature: Annotated[float, Field(ge=0, le=100)] = 0.7
    top_k: Annotated[int, Field(ge=0)] = 40
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.95
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.05
    typical_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    repeat_penalty: Annotated[float, Field(gt=0)] = 1.0
    frequency_penalty: Annotated[float, Field(ge=-100, le=100)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-100, le=100)] = 0.0
    repeat_last_n: Annotated[int, Field(ge=-1)] = 64
    seed: Annotated[int, Field(ge=0, le=2**32 - 2)] | None = None


class AgentConfig(Section):
    """How the agent works."""

    instructions: str = "You are a helpful assistant."
    """The system message."""
    tool_choice: str = "auto"
    """auto, none, required, or a tool's name. Holds for the first step; then the model chooses."""
    parallel_tool_calls: bool = True
    """May the model call several tools in one turn?"""
    max_steps: Annotated[int, Field(ge=1)] = 10
    """Model turns in one run; in the last one the model must answer."""
    max_tokens: Annotated[int, Field(ge=1)] | None = 2048
    """Tokens of one model turn. null: what the context has room for."""
    tool_timeout_seconds: Seconds = 60.0
    """How long one tool call may take."""


class WebSearchConfig(Section):
    """The built-in tool web_search (DuckDuckGo and others, no key needed)."""

    region: str = "us-en"
    """Country and language of the results."""
    backends: tuple[str, ...] = ("duckduckgo", "brave", "mojeek", "startpage")
    """Search engines to ask."""
    timeout_seconds: Seconds = 15.0


class WebFetchConfig(Section):
    """The built-in tool web_fetch."""

    timeout_seconds: Seconds = 30.0
    """For the whole fetch, redirects included."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10_000_000
    """Size of a page at most, after decompression."""
    allow_private: tuple[Network, ...] = ()
    """Private, loopback and other special networks that may be fetched from, e.g. 127.0.0.0/8."""


class McpServerConfig(Section):
    """One MCP server: either a command to start (stdio) or a URL (streamable HTTP)."""

    command: Annotated[str, Field(min_length=1)] | None = None
    """Program to start."""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    """Added to the small environment the program gets (HOME, LOGNAME, PATH, SHELL, TERM, USER)."""
    cwd: Path | None = None
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    headers: dict[str, str] = {}
    protocol: Literal["auto", "legacy", "2026-07-28"] = "auto"
    """auto asks the server; legacy is for old servers that do not answer when asked."""
    disabled: bool = False
    startup_timeout: Seconds = 30.0
    """Seconds until the tools must be listed."""
    timeout: Seconds = 60.0
    """Seconds one call may take."""

    @model_validator(mode="after")
    def _one_transport(self) -> McpServerConfig:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either command (a program to start) or url, one of the two")
        stdio_only = {"args", "env", "cwd"} & self.model_fields_set
        if self.url is not None and stdio_only:
            raise ValueError(f"{', '.join(sorted(stdio_only))}: only with command, not with url")
        if self.command is not None and "headers" in self.model_fields_set:
            raise ValueError("headers: only with url, not with command")
        return self


class Config(Section):
    """The whole file."""

    model: str | None = None
    """Path of a GGUF file, or a name from models. null: the starter model."""
    models: dict[str, Path] = {}
    """Names for GGUF files."""
    engine: EngineConfig = EngineConfig()
    sampling: SamplingConfig = SamplingConfig()
    agent: AgentConfig = AgentConfig()
    tools: tuple[str, ...] = ("web_search", "web_fetch")
    """web_search, web_fetch, and your own functions as module:function or ./file.py:function."""
    web_search: WebSearchConfig = WebSearchConfig()
    web_fetch: WebFetchConfig = WebFetchConfig()
    mcp_servers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")], McpServerConfig
    ] = {}
    """MCP servers whose tools the agent may use, by name."""
