"""``kronk-agent mcp approve``: approve a project's server or changed tools."""

from __future__ import annotations

from pathlib import Path

import click

from kronk_agent.cli.commands.mcp.add_remove import no_such_server
from kronk_agent.cli.interactive.project import show_request
from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.config.loading import load_config
from kronk_agent.config.mcp_clients.project import Consents, ProjectServer, project_servers
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ConfigError


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Approve without asking.")
@global_options
@click.pass_obj
def approve(options: GlobalOptions, name: str, yes: bool) -> None:
    """Show what needs approval for the server NAME, and approve it if you agree.

    This is either the changed tools of a registered server, or a server that the .mcp.json of this
    folder asks for. The exit code is 1 if you do not agree.
    """
    registered = load_config(options.config).mcp_servers
    project = {server.name: server for server in project_servers(Path.cwd())}
    if name in registered:
        _approve_changes(name, registered[name], yes)
    elif name in project:
        _approve_server(project[name], yes)
    else:
        raise ConfigError(no_such_server(name, {**registered, **project}))


def _approve_changes(name: str, config: McpServerConfig, yes: bool) -> None:
    from kronk_agent.host.tools.injection_scan import scan_definition
    from kronk_agent.host.tools.pinning import PinnedTools, pins_directory
    from kronk_agent.host.tools.sanitize import escape_invisible

    pins = PinnedTools(pins_directory() / f"{name}.json", config)
    changes = pins.changes()
    if not changes:
        click.echo(f"{name} has nothing to approve", err=True)
        return
    for change in changes:
        click.echo(escape_invisible(f"{name} changed its tool {change.now.name}:"))
        click.echo(printable("\n".join(f"  {line}" for line in change.diff())))
        for sign in scan_definition(change.now):
            click.echo(printable(f"  warning: it {sign}"))
    _agree("Use the changed tool?" if len(changes) == 1 else "Use the changed tools?", yes)
    pins.approve(changes)
    click.echo(f"approved changed tools of {name}: {len(changes)}", err=True)


def _approve_server(server: ProjectServer, yes: bool) -> None:
    show_request(server)
    consents = Consents()
    try:
        _agree("Run it, now and whenever this folder asks for exactly the same?", yes)
    except click.exceptions.Exit:
        consents.remember(server, "declined")
        raise
    consents.remember(server, "agreed")
    click.echo(f"approved {server.name}", err=True)


def _agree(question: str, yes: bool) -> None:
    if not (yes or click.confirm(question, err=True)):
        raise click.exceptions.Exit(1)
