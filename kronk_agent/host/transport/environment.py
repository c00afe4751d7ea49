"""Environment variables passed to a server's program: few unless configured otherwise."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from dotenv.parser import parse_stream

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError


def added_environment(config: McpServerConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables a program gets beyond the default few; precedence: env > env_file > inherited.

    Raises:
        ServerUnavailableError: ``env_file`` cannot be read.
    """
    inherited = {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in config.inherit_env)
        and not value.startswith("()")  # exported shell functions, which a shell would run
    }
    from_file = {} if config.env_file is None else _read(config.env_file)
    return inherited | from_file | config.env


def _read(file: Path) -> dict[str, str]:
    """Parse NAME=value lines with shell quotes, comments and ``export``."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ServerUnavailableError(f"cannot read env_file {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ServerUnavailableError(f"env_file {file} is not UTF-8 text") from None
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # The line is not quoted, since it may contain a secret.
            line = f"line {binding.original.line} of env_file {file}"
            raise ServerUnavailableError(f"cannot use {line}: write NAME=value")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values
