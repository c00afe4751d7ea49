"""Mistakes in a configuration that its schema cannot see: names and files that do not exist.

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
from kronk_agent.runtime.configured_tools import own_tool
from kronk_agent.runtime.known_tools import KnownTools, known_tools
from kronk_agent.runtime.model_registry import Models
from kronk_agent.tools.policy import Rule


def check(
    loaded: LoadedConfig, *, imports: bool = True, servers: Sequence[str] = ()
) -> list[ConfigError]:
    """The mistakes, those of the file by line.

    Args:
        loaded: a configuration that is valid under the schema.
        imports: import the user's own tools, which runs their code; else only their files are
            looked for.
        servers: MCP servers there may be beside those of the configuration.
    """
    config = loaded.config
    names: list[str] = []
    found = [*loaded.unset]
    found += (loaded.mistake(words, path) for words, path in _models(config))
    found += (loaded.mistake(words, path) for words, path in _tools(config, names, imports))
    known = known_tools(names, [*_prefixes(config), *servers])
    found += (loaded.mistake(words, path) for words, path in _tool_names(config, known))
    found += (loaded.mistake(words, path) for words, path in _programs(config))
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
    for agent, own in config.agents.items():
        try:
            models.name(own.model)
        except KronkError as error:
            yield str(error), ("agents", agent, "model")


def _tools(config: Config, names: list[str], imports: bool) -> Iterator[_Mistake]:
    """Mistakes in ``tools``; adds the names of the tools there are to ``names``."""
    for index, spec in enumerate(config.tools):
        target, _, function = spec.rpartition(":")
        if target and not imports:
            names.append(function)
            if target.endswith(".py") and not Path(target).is_file():
                yield f"there is no file {target}", ("tools", index)
            continue
        try:
            names.append(own_tool(spec, config, Path.cwd()).name)
        except ConfigError as error:
            names.append(function)
            yield error.message, ("tools", index)


def _tool_names(config: Config, known: KnownTools) -> Iterator[_Mistake]:
    """Names and globs of tools that fit none."""
    for glob, path in _named_tools(config):
        if not known.fits(glob):
            nearest = difflib.get_close_matches(glob, known.names, n=1)
            hint = f": did you mean {nearest[0]!r}?" if nearest else ""
            yield f"no tool is called {glob!r}{hint}", path


def _named_tools(config: Config) -> Iterator[tuple[str, KeyPath]]:
    for pattern in config.policy:
        yield Rule.parse(pattern, "ask").tool, ("policy", pattern)
    yield from _choice(config.agent.tool_choice, ("agent", "tool_choice"))
    for name, agent in config.agents.items():
        at: KeyPath = ("agents", name)
        for index, glob in enumerate(agent.tools or ()):
            yield glob, (*at, "tools", index)
        for pattern in agent.policy:
            yield Rule.parse(pattern, "ask").tool, (*at, "policy", pattern)
        yield from _choice(agent.tool_choice, (*at, "tool_choice"))


def _prefixes(config: Config) -> list[str]:
    servers = config.mcp_servers.items()
    return [server.prefix or name for name, server in servers if not server.disabled]


def _choice(choice: str, path: KeyPath) -> Iterator[tuple[str, KeyPath]]:
    if choice not in ("auto", "none", "required"):
        yield choice, path


def _programs(config: Config) -> Iterator[_Mistake]:
    for name, server in config.mcp_servers.items():
        if server.disabled or server.problem is not None:
            continue
        if not _is_there(server):
            yield f"there is no program {server.command!r}", ("mcp_servers", name, "command")
        if server.cwd is not None and not server.cwd.is_dir():
            yield f"there is no folder {server.cwd}", ("mcp_servers", name, "cwd")


def _is_there(server: McpServerConfig) -> bool:
    return server.command is None or bool(shutil.which(server.command, path=server.env.get("PATH")))
