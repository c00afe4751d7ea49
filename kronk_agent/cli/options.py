"""Options of every command, before its name or behind it: ``kronk-agent chat --config PATH``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from kronk_agent.cli.logs import logging_to_stderr

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options every command takes; commands find them in ``ctx.obj``."""

    config: Path | None = None
    """The YAML file named on the command line, if one was."""
    debug: bool = False
    """Show tracebacks and the log."""


def global_options(command: _Command) -> _Command:
    """Adds them to a command; given twice, the one nearer to the end of the line holds."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="PATH",
        expose_value=False,
        callback=_set_config,
        help="The YAML file to use; `config path` says which one is used without this.",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the log, and tracebacks of errors.",
    )
    return config(debug(command))


def options_of(ctx: click.Context) -> GlobalOptions:
    """What was given so far on this command line."""
    options = ctx.find_root().obj
    return options if isinstance(options, GlobalOptions) else GlobalOptions()


def _set_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        _set(ctx, replace(options_of(ctx), config=value))


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not options_of(ctx).debug:
        _set(ctx, replace(options_of(ctx), debug=True))
        ctx.find_root().with_resource(logging_to_stderr(debug=True))


def _set(ctx: click.Context, options: GlobalOptions) -> None:
    # Commands in between were given theirs when they began.
    context: click.Context | None = ctx
    while context is not None:
        context.obj = options
        context = context.parent
