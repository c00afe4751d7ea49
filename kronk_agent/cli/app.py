"""The root command: its options, its subcommands, and how errors are reported."""

from __future__ import annotations

import io
import sys
import traceback
from typing import NoReturn

import click

from kronk_agent import __version__
from kronk_agent.cli.lazy_commands import LazyCommand, LazyGroup
from kronk_agent.cli.logs import logging_to_stderr
from kronk_agent.cli.options import global_options, options_of
from kronk_agent.errors import ConfigError, KronkError, unwrap
from kronk_agent.redaction import redacted

_COMMANDS = (
    LazyCommand(
        "chat", "kronk_agent.cli.commands.chat:chat", "Chat with the model, which may call tools."
    ),
    LazyCommand(
        "config",
        "kronk_agent.cli.commands.config:config",
        "Write, check and show the configuration file.",
    ),
    LazyCommand(
        "keys",
        "kronk_agent.cli.commands.keys:keys",
        "Create, list and revoke API keys for the HTTP server.",
    ),
    LazyCommand(
        "mcp", "kronk_agent.cli.commands.mcp.group:mcp", "Manage MCP servers, and serve MCP."
    ),
    LazyCommand("model", "kronk_agent.cli.commands.model:model", "Show what a model can do."),
    LazyCommand(
        "serve", "kronk_agent.cli.commands.serve:serve", "Serve models and agents over HTTP."
    ),
    LazyCommand("tools", "kronk_agent.cli.commands.tools:tools", "List the tools or call one."),
)


class Root(LazyGroup):
    """The root command group: reports any error on stderr and maps it to an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; report any error and exit."""
        try:
            return super().invoke(ctx)
        except BaseException as error:  # noqa: BLE001  # boundary: the program ends here
            _end(ctx, unwrap(error))


@click.group(cls=Root, commands=_COMMANDS)
@global_options
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Run an agent on your own machine: a local model with tools and MCP servers."""
    ctx.obj = options_of(ctx)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An unencodable character must not lose the answer.
        sys.stdout.reconfigure(errors="replace")
    if not ctx.obj.debug:
        ctx.with_resource(logging_to_stderr(debug=False))


def _end(ctx: click.Context, error: BaseException) -> NoReturn:
    """Report the error on stderr and exit with the code that belongs to it."""
    is_debug = options_of(ctx).debug
    match error:
        case ConfigError():  # one line per mistake
            lines, exit_code = [f"error: {line}" for line in str(error).splitlines()], 2
        case KronkError():
            lines, exit_code = [f"error: {error}"], 1
        case KeyboardInterrupt():
            ctx.exit(130)
        # Click handles these itself: usage errors, explicit exits, a closed stdout.
        case click.ClickException() | click.exceptions.Exit() | click.Abort() | BrokenPipeError():
            raise error
        case Exception():
            hint = "" if is_debug else " (run with --debug for the traceback)"
            lines, exit_code = (
                [f"internal error: {type(error).__name__}: {redacted(str(error))}{hint}"],
                1,
            )
        case _:
            raise error
    if is_debug:
        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    for line in lines:
        click.echo(" ".join(line.split()), err=True)
    ctx.exit(exit_code)
