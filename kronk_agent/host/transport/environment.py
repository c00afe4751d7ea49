"""What a server's program gets to know of our environment: little, unless it is told more."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from dotenv.parser import parse_stream

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError


def added_environment(config: McpServerConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables a program gets beside the few that all get: inherited < env_file < env.

    Raises:
        ServerUnavailableError: the file cannot be read.
    """
    inherited = {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in config.inherit_env)
        and not value.startswith("()")  # a function of a shell, which would run it
    }
    from_file = {} if config.env_file is None else _read(config.env_file)
    return inherited | from_file | config.env


def _read(file: Path) -> dict[str, str]:
    """NAME=value lines, with the quotes, comments and ``export`` that shells allow in them."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ServerUnavailableError(f"cannot read env_file {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ServerUnavailableError(f"env_file {file} is not UTF-8 text") from None
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # Not quoted: what stands there may be a secret.
            line = f"line {binding.original.line} of env_file {file}"
            raise ServerUnavailableError(f"cannot use {line}: write NAME=value")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values
