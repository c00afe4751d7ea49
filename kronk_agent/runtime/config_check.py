"""Checks a configuration for mistakes beyond its schema: unknown names and missing files.

No model is loaded and no MCP server is started.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from kronk_agent.config.loading import LoadedConfig, in_order
from kronk_agent.config.schema.config import Config, McpServerConfig
from kronk_agent.config.schema.model import LocalModelConfig
from kronk_agent.config.yaml.sourced import KeyPath
from kronk_agent.errors import ConfigError, KronkError
from kronk_agent.models.store import find_model
from kronk_agent.runtime.configured_tools import configured_tool
from kronk_agent.runtime.known_tools import KnownTools, known_tools
from kronk_agent.runtime.model_registry import Models
from kronk_agent.tools.policy import Rule


def check(
    loaded: LoadedConfig, *, imports: bool = True, servers: Sequence[str] = ()
) -> list[ConfigError]:
    """Return the mistakes, sorted by line.

    Args:
        loaded: a configuration that is valid according to the schema.
        imports: import the user's own tools, which runs their code; if False, only check that their
            files exist.
        servers: names of MCP servers in addition to those of the configuration.
    """
    config = loaded.config
    names: list[str] = []
    found = [*loaded.unset]
    found += (loaded.mistake(message, path) for message, path in _models(config))
    found += (loaded.mistake(message, path) for message, path in _tools(config, names, imports))
    known = known_tools(names, [*_prefixes(config), *servers])
    found += (loaded.mistake(message, path) for message, path in _tool_names(config, known))
    found += (loaded.mistake(message, path) for message, path in _programs(config))
    return in_order(found)


_Mistake = tuple[str, KeyPath]


def _models(config: Config) -> Iterator[_Mistake]:
    files: list[tuple[str, KeyPath]] = []
    if config.model is not None and config.model not in config.models:
        files.append((config.model, ("model",)))
    for name, model in config.models.items():
        match model:
            case Path():
                files.append((str(model), ("models", name)))
            case LocalModelConfig():
                files.append((str(model.path), ("models", name, "path")))
    for file, key in files:
        try:
            find_model(file, names={}, base_dir=Path.cwd())
        except KronkError as error:
            yield str(error), key
    models = Models(config, base_dir=Path.cwd(), given={})
    for name, agent in config.agents.items():
        try:
            models.name(agent.model)
        except KronkError as error:
            yield str(error), ("agents", name, "model")


def _tools(config: Config, names: list[str], imports: bool) -> Iterator[_Mistake]:
    """Yield mistakes in ``tools``; appends the names of the tools to ``names``."""
    for index, spec in enumerate(config.tools):
        target, _, function = spec.rpartition(":")
        if target and not imports:
            names.append(function)
            if target.endswith(".py") and not Path(target).is_file():
                yield f"file not found: {target}", ("tools", index)
            continue
        try:
            names.append(configured_tool(spec, config, Path.cwd()).name)
        except ConfigError as error:
            names.append(function)
            yield error.message, ("tools", index)


def _tool_names(config: Config, known: KnownTools) -> Iterator[_Mistake]:
    """Yield names and globs that match no tool."""
    for glob, path in _named_tools(config):
        if not known.matches(glob):
            nearest = difflib.get_close_matches(glob, known.names, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            yield f"unknown tool {glob!r}{hint}", path


def _named_tools(config: Config) -> Iterator[tuple[str, KeyPath]]:
    for pattern in config.policy:
        yield Rule.parse(pattern, "ask").tool, ("policy", pattern)
    yield from _named_choice(config.agent.tool_choice, ("agent", "tool_choice"))
    for name, agent in config.agents.items():
        agent_path: KeyPath = ("agents", name)
        for index, glob in enumerate(agent.tools or ()):
            yield glob, (*agent_path, "tools", index)
        for pattern in agent.policy:
            yield Rule.parse(pattern, "ask").tool, (*agent_path, "policy", pattern)
        yield from _named_choice(agent.tool_choice, (*agent_path, "tool_choice"))


def _prefixes(config: Config) -> list[str]:
    servers = config.mcp_servers.items()
    return [server.prefix or name for name, server in servers if not server.disabled]


def _named_choice(choice: str, path: KeyPath) -> Iterator[tuple[str, KeyPath]]:
    if choice not in ("auto", "none", "required"):
        yield choice, path


def _programs(config: Config) -> Iterator[_Mistake]:
    for name, server in config.mcp_servers.items():
        if server.disabled or server.problem is not None:
            continue
        if not _program_exists(server):
            yield f"program not found: {server.command!r}", ("mcp_servers", name, "command")
        if server.cwd is not None and not server.cwd.is_dir():
            yield f"directory not found: {server.cwd}", ("mcp_servers", name, "cwd")


def _program_exists(server: McpServerConfig) -> bool:
    return server.command is None or bool(shutil.which(server.command, path=server.env.get("PATH")))
