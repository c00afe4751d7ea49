"""Options of every command, given before or after its name: ``kronk-agent chat --config PATH``."""

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
    """Options that every command takes; commands find them in ``ctx.obj``."""

    config: Path | None = None
    """The YAML file given on the command line; None means the default location."""
    debug: bool = False
    """Show tracebacks and the log."""


def global_options(command: _Command) -> _Command:
    """Add the global options to a command; if given twice, the later one wins."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="PATH",
        expose_value=False,
        callback=_set_config,
        help="Configuration file; `config path` prints the default.",
    )
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the log and tracebacks.",
    )
    return config(debug(command))


def options_of(ctx: click.Context) -> GlobalOptions:
    """Return the global options parsed so far on this command line."""
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
    # Parent commands got their options when they were invoked; update these too.
    context: click.Context | None = ctx
    while context is not None:
        context.obj = options
        context = context.parent
