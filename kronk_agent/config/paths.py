"""Makes paths absolute: relative to the file, or for overrides to the working directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kronk_agent.config.schema.config import Config, McpServerConfig, SessionsConfig, WebFetchConfig
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.model import LocalModelConfig, ModelConfig
from kronk_agent.config.yaml.sourced import KeyPath, SourcedValue, find
from kronk_agent.errors import ConfigError


def absolute(path: str | Path, base: Path) -> Path:
    """Resolve a path against ``base``, expanding ``~``.

    Raises:
        ConfigError: the path begins with ``~`` and the home directory is unknown.
    """
    try:
        return base / Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"no home directory for {str(path)!r}") from None


def with_absolute_paths(config: Config, tree: SourcedValue) -> tuple[Config, list[ConfigError]]:
    """Make every path in the configuration absolute; ``tree`` has their origins.

    Returns:
        The configuration, and the errors about paths that cannot be resolved.
    """
    mistakes: list[ConfigError] = []

    def resolve(path: str | Path, key: KeyPath) -> Path:
        origin = find(tree, key)[1].origin
        try:
            return absolute(path, _base(origin.source))
        except ConfigError as error:
            mistakes.append(origin.mistake(error.message, key))
            return Path(path)

    def refuse(message: str, key: KeyPath) -> None:
        mistakes.append(find(tree, key)[1].origin.mistake(message, key))

    resolved = config.model_copy(
        update={
            "model": _model(config, resolve),
            "models": {
                name: _model_named(model, ("models", name), resolve, refuse)
                for name, model in config.models.items()
            },
            "tools": tuple(
                _tool(spec, ("tools", index), resolve) for index, spec in enumerate(config.tools)
            ),
            "engine": _engine(config.engine, resolve),
            "web_fetch": _web_fetch(config.web_fetch, resolve),
            "sessions": _sessions(config.sessions, resolve),
            "mcp_servers": {
                name: _server(server, ("mcp_servers", name), resolve)
                for name, server in config.mcp_servers.items()
            },
        }
    )
    return resolved, mistakes


_Resolve = Callable[[str | Path, KeyPath], Path]
_Refuse = Callable[[str, KeyPath], None]


def _base(source: Path | str | None) -> Path:
    return source.absolute().parent if isinstance(source, Path) else Path.cwd()


def _model(config: Config, resolve: _Resolve) -> str | None:
    name = config.model
    if (
        name is None
        or name in config.models
        or not (_is_path(name) or name.lower().endswith(".gguf"))
    ):
        return name
    return str(resolve(name, ("model",)))


def _model_named(
    model: ModelConfig, key: KeyPath, resolve: _Resolve, refuse: _Refuse
) -> ModelConfig:
    if isinstance(model, Path):
        return resolve(model, key)
    if not isinstance(model, LocalModelConfig):
        return model
    changes = {"path": resolve(model.path, (*key, "path"))}
    if model.template is not None:
        changes["template"] = template = resolve(model.template, (*key, "template"))
        if not template.is_file():
            refuse(f"file not found: {template}", (*key, "template"))
    return model.model_copy(update=changes)


def _tool(spec: str, key: KeyPath, resolve: _Resolve) -> str:
    file, colon, function = spec.rpartition(":")
    return f"{resolve(file, key)}:{function}" if colon and file.endswith(".py") else spec


def _engine(section: EngineConfig, resolve: _Resolve) -> EngineConfig:
    adapters = tuple(
        adapter.model_copy(
            update={"path": resolve(adapter.path, ("engine", "lora", index, "path"))}
        )
        for index, adapter in enumerate(section.lora)
    )
    cache_dir = section.cache_dir
    if isinstance(cache_dir, Path):
        cache_dir = resolve(cache_dir, ("engine", "cache_dir"))
    return section.model_copy(update={"lora": adapters, "cache_dir": cache_dir})


def _web_fetch(section: WebFetchConfig, resolve: _Resolve) -> WebFetchConfig:
    if section.cache_dir is None:
        return section
    cache_dir = resolve(section.cache_dir, ("web_fetch", "cache_dir"))
    return section.model_copy(update={"cache_dir": cache_dir})


def _sessions(section: SessionsConfig, resolve: _Resolve) -> SessionsConfig:
    scheme, found, path = (section.url or "").partition("sqlite:///")
    if scheme or not found or not path:
        return section
    url = f"sqlite:///{resolve(path, ('sessions', 'url'))}"
    return section.model_copy(update={"url": url})


def _server(server: McpServerConfig, key: KeyPath, resolve: _Resolve) -> McpServerConfig:
    changes: dict[str, object] = {
        name: resolve(path, (*key, name))
        for name in ("cwd", "env_file")
        if (path := getattr(server, name)) is not None
    }
    changes["roots"] = tuple(
        resolve(root, (*key, "roots", index)) for index, root in enumerate(server.roots)
    )
    if (key_file := server.oauth.private_key_file) is not None:
        key_file = resolve(key_file, (*key, "oauth", "private_key_file"))
        changes["oauth"] = server.oauth.model_copy(update={"private_key_file": key_file})
    # A bare name is looked up on PATH.
    if server.command is not None and _is_path(server.command):
        changes["command"] = str(resolve(server.command, (*key, "command")))
    return server.model_copy(update=changes)


def _is_path(text: str) -> bool:
    return text.startswith("~") or "/" in text or os.sep in text
