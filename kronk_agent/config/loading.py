"""The configuration: defaults < file < environment < flags, checked as one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from kronk_agent.config.mcp_clients.foreign_keys import with_our_keys
from kronk_agent.config.overrides import CONFIG_VARIABLE, with_environment, with_flags
from kronk_agent.config.paths import absolute
from kronk_agent.config.schema.config import Config
from kronk_agent.config.unset import by_server, server_of, validate_without
from kronk_agent.config.yaml.document import parse_document
from kronk_agent.config.yaml.sourced import KeyPath, Node, Origin, find, walk
from kronk_agent.config.yaml.variables import with_variables
from kronk_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and where it came from."""

    config: Config
    path: Path | None
    """The file; None when there is none."""
    written: Mapping[KeyPath, str] = field(repr=False)
    """How the file writes each text that takes variables, so that it can be shown unresolved."""
    unset: tuple[ConfigError, ...] = ()
    """Variables that are not set, of MCP servers, which are unusable without them."""
    tree: Node = field(default_factory=lambda: Node({}, Origin(None)), repr=False)
    """Where each value was given."""

    def mistake(self, message: str, path: KeyPath) -> ConfigError:
        """The error that says what is wrong with the value at the path, and where it was given."""
        return find(self.tree, path)[1].origin.mistake(message, path)


def load_config(
    path: Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read the configuration; every path in it becomes absolute.

    Args:
        path: the YAML file. None: the one ``KRONK_AGENT_CONFIG`` names, else the user's own, else
            the defaults alone. Never one that merely lies in the working directory, because a
            configuration can start programs.
        overrides: values that win over all others, by dotted key: ``{"agent.max_steps": 5}``. A
            mistake in one is reported under the flag of that name, ``--max-steps``.
        environ: the environment variables; None is the process's own.

    An environment variable that is not set makes an MCP server unusable (``problem``), and is a
    mistake anywhere else.

    Raises:
        ConfigError: one mistake or more; carries all that were found.
    """
    return read_config(path, overrides=overrides, environ=environ).config


def read_config(
    path: Path | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """``load_config``, for those who show where things came from."""
    environ = os.environ if environ is None else environ
    file = config_path(path, environ=environ)
    text = _read(file, is_optional=path is None and not environ.get(CONFIG_VARIABLE))
    tree, mistakes = Node({}, Origin("the defaults")), list[ConfigError]()
    unset = dict[str, list[ConfigError]]()
    if text is not None:
        tree, mistakes = parse_document(text, file)
        tree, refused = with_our_keys(tree)
        mistakes += refused
        tree, found = with_variables(tree, environ)
        unset = by_server(found)
        mistakes += [mistake for mistake in found if server_of(mistake) not in unset]
    tree = with_flags(with_environment(tree, environ), overrides or {})
    mistakes += _undecodable(tree)
    config, invalid = validate_without(tree, unset)
    # What could not even be read is refused a second time; once is enough.
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
    """The file that is read, or would be if it were there."""
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
        remedy = "`kronk-agent config init` writes one"
        raise ConfigError(f"there is no such file: {remedy}", path=file) from None
    except IsADirectoryError:
        raise ConfigError("this is a folder, not a file", path=file) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text: save it as UTF-8", path=file, line=line) from None


def _undecodable(tree: Node) -> Iterator[ConfigError]:
    """Text no encoding can hold, such as bytes of an environment variable that are not UTF-8."""
    for path, node in walk(tree):
        if any(map(_has_surrogates, (node.value, node.text, *path))):
            yield node.origin.mistake("must be valid UTF-8 text", path)


def _has_surrogates(value: object) -> bool:
    return isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)


def in_order(mistakes: Sequence[ConfigError]) -> list[ConfigError]:
    """Those of the file by line, then the others as they were found."""
    return sorted(mistakes, key=lambda m: (m.line is None, m.line or 0))
