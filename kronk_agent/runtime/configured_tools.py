"""Builds the tools of a configuration: built-in ones and the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kronk_agent.config.schema.config import Config, WebFetchConfig, WebSearchConfig
from kronk_agent.errors import ConfigError
from kronk_agent.tools import Tool
from kronk_agent.tools.loader import load_tool


def configured_tools(config: Config, base_dir: Path, given: Sequence[Tool]) -> tuple[Tool, ...]:
    """Return the tools of the configuration, followed by the given ones.

    Raises:
        ConfigError: a tool cannot be loaded, or two tools have the same name.
    """
    tools = (*(configured_tool(name, config, base_dir) for name in config.tools), *given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"duplicate tool name {name!r}", key="tools")
    return tools


def configured_tool(name: str, config: Config, base_dir: Path) -> Tool:
    """Return the tool for an entry of ``tools`` in the configuration.

    Raises:
        ConfigError: the tool cannot be loaded.
    """
    match name:
        case "web_search":
            return _web_search(config.web_search)
        case "web_fetch":
            return _web_fetch(config.web_fetch)
        case _:
            return load_tool(name, base_dir=base_dir)


def web_tools(config: Config) -> tuple[Tool, Tool]:
    """Return web_search and web_fetch as configured."""
    return _web_search(config.web_search), _web_fetch(config.web_fetch)


def _web_search(config: WebSearchConfig) -> Tool:
    from kronk_tools.search import SearchResult
    from kronk_tools.search.providers import search_provider
    from kronk_tools.web_search import web_search_tool

    providers = [
        search_provider(
            provider.type,
            api_key=provider.api_key,
            base_url=provider.base_url,
            backends=provider.backends,
            results=[SearchResult(**page.model_dump()) for page in provider.results or ()],
            proxy=config.proxy,
            timeout_seconds=config.timeout_seconds,
        )
        for provider in config.providers
    ]
    return web_search_tool(
        providers=providers,
        region=config.region,
        timeout_seconds=config.timeout_seconds,
        cache_seconds=config.cache_seconds,
    )


def _web_fetch(config: WebFetchConfig) -> Tool:
    from kronk_tools.web_fetch import web_fetch_tool

    return web_fetch_tool(**config.model_dump())
