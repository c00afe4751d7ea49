"""Loads the configuration: defaults < file < environment < flags, validated together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from kronk_agent.config.mcp_clients.foreign_keys import translate_keys
from kronk_agent.config.overrides import CONFIG_VARIABLE, with_environment, with_flags
from kronk_agent.config.paths import absolute
from kronk_agent.config.schema.config import Config
from kronk_agent.config.unset import by_server, server_of, validate_without
from kronk_agent.config.yaml.document import parse_document
from kronk_agent.config.yaml.sourced import KeyPath, Origin, SourcedValue, find, walk
from kronk_agent.config.yaml.variables import with_variables
from kronk_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and its sources."""

    config: Config
    path: Path | None
    """The file; None if it does not exist."""
    written: Mapping[KeyPath, str] = field(repr=False)
    """Texts with variables as the file has them, by path; for showing them unresolved."""
    unset: tuple[ConfigError, ...] = ()
    """Errors about unset variables of MCP servers, which are unusable without them."""
    tree: SourcedValue = field(default_factory=lambda: SourcedValue({}, Origin(None)), repr=False)
    """The values with their origins."""

    def mistake(self, message: str, path: KeyPath) -> ConfigError:
        """Return an error about the value at ``path``, located where the value was given."""
        return find(self.tree, path)[1].origin.mistake(message, path)


def load_config(
    path: Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Load the configuration; all paths in it become absolute.

    An unset environment variable makes an MCP server unusable (``problem``); anywhere else it is an
    error.

    Args:
        path: the YAML file. None: the file that ``KRONK_AGENT_CONFIG`` names, else the user's
            configuration file, else the defaults alone. A file in the working directory is never
            used implicitly, because a configuration can start programs.
        overrides: values that take precedence over all others, by dotted key, such as
            ``{"agent.max_steps": 5}``. An error in one is reported under the flag of that name,
            ``--max-steps``.
        environ: the environment variables; None means those of the process.

    Raises:
        ConfigError: one or more mistakes; the error carries all of them.
    """
    return read_config(path, overrides=overrides, environ=environ).config


def read_config(
    path: Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Load the configuration like ``load_config``, and keep where the values came from.

    Raises:
        ConfigError: one or more mistakes; the error carries all of them.
    """
    environ = os.environ if environ is None else environ
    file = config_path(path, environ=environ)
    text = _read(file, is_optional=path is None and not environ.get(CONFIG_VARIABLE))
    tree, mistakes = SourcedValue({}, Origin("the defaults")), list[ConfigError]()
    unset = dict[str, list[ConfigError]]()
    if text is not None:
        tree, mistakes = parse_document(text, file)
        tree, refused = translate_keys(tree)
        mistakes += refused
        tree, found = with_variables(tree, environ)
        unset = by_server(found)
        mistakes += [mistake for mistake in found if server_of(mistake) not in unset]
    tree = with_flags(with_environment(tree, environ), overrides or {})
    mistakes += _undecodable(tree)
    config, invalid = validate_without(tree, unset)
    # A value that could not be parsed fails validation too; report it once.
    seen = {(m.path, m.line, m.key) for m in mistakes}
    mistakes += [m for m in invalid if (m.path, m.line, m.key) not in seen]
    if mistakes:
        raise ConfigError.together(in_order(mistakes))
    written = {key: node.written for key, node in walk(tree) if node.written is not None}
    return LoadedConfig(
        config,
        None if text is None else file,
        written,
        tuple(mistake for of_server in unset.values() for mistake in of_server),
        tree,
    )


def config_path(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the configuration file, even if the file does not exist."""
    environ = os.environ if environ is None else environ
    if path is not None:
        return absolute(path, Path())
    if named := environ.get(CONFIG_VARIABLE):
        return absolute(named, Path())
    return platformdirs.user_config_path("kronk-agent", appauthor=False) / "config.yaml"


def _read(file: Path, *, is_optional: bool) -> str | None:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        if is_optional:
            return None
        remedy = "`kronk-agent config init` creates one"
        raise ConfigError(f"file not found: {remedy}", path=file) from None
    except IsADirectoryError:
        raise ConfigError("is a directory, not a file", path=file) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text: save it as UTF-8", path=file, line=line) from None


def _undecodable(tree: SourcedValue) -> Iterator[ConfigError]:
    """Yield errors for text that cannot be encoded, such as non-UTF-8 environment variables."""
    for path, node in walk(tree):
        if any(map(_has_surrogates, (node.value, node.text, *path))):
            yield node.origin.mistake("must be valid UTF-8 text", path)


def _has_surrogates(value: object) -> bool:
    return isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)


def in_order(mistakes: Sequence[ConfigError]) -> list[ConfigError]:
    """Sort mistakes of the file by line; the others follow in their order."""
    return sorted(mistakes, key=lambda m: (m.line is None, m.line or 0))
