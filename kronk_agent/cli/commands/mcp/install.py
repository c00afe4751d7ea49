"""``kronk-agent mcp install``: registers kronk-agent in an MCP client."""

from __future__ import annotations

import time
from pathlib import Path

import click

from kronk_agent.cli.commands.mcp.own_command import own_command
from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.config.loading import load_config
from kronk_agent.config.mcp_clients.installing import (
    CLIENTS,
    Client,
    FileChange,
    client_file,
    with_entry,
)
from kronk_agent.config.mcp_clients.known_clients import HOSTS
from kronk_agent.config.yaml.editing import write_config


@click.command()
@click.argument("client", type=click.Choice(CLIENTS))
@click.option("--name", default="kronk-agent", show_default=True, help="Name of the entry.")
@click.option("--project", is_flag=True, help="Write to this folder's file instead of your own.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Only print what would be written.")
@global_options
@click.pass_obj
def install(
    options: GlobalOptions, client: Client, name: str, project: bool, yes: bool, dry_run: bool
) -> None:
    """Add `kronk-agent mcp serve` to the configuration of an MCP client.

    The change is shown first, and a backup of the file is kept. With --config, the entry passes
    that file on. The exit code is 1 if you do not agree.
    """
    load_config(options.config)  # fail here rather than in a client that cannot start us
    path = client_file(client, home=Path.home(), project=Path.cwd() if project else None)
    change = with_entry(client, path, name, _command(options))
    if change is None:
        click.echo(f"{path} already has the entry {name}", err=True)
        return
    click.echo(printable(f"{path}:\n{change.diff()}"))
    if change.loses_comments:
        click.echo("notice: comments in the file will be lost; the backup keeps them", err=True)
    if dry_run:
        return
    if not (yes or click.confirm("Write it?", err=True)):
        raise click.exceptions.Exit(1)
    _write(change)
    click.echo(f"wrote {path}; restart {HOSTS[client].title} to load it", err=True)


def _command(options: GlobalOptions) -> list[str]:
    """Return the command that the client is to run."""
    config = [] if options.config is None else ["--config", str(options.config.absolute())]
    return [*own_command(), *config, "mcp", "serve"]


def _write(change: FileChange) -> None:
    if change.before:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        backup = change.path.with_name(f"{change.path.name}.{stamp}.backup")
        write_config(backup, change.before)
        click.echo(f"saved a backup as {backup}", err=True)
    write_config(change.path, change.after)
