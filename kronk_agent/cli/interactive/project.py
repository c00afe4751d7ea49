"""MCP servers that a project asks for, added to the user's own after consent."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.config.mcp_clients.project import (
    Consents,
    ProjectServer,
    command_line,
    project_servers,
    server_details,
)
from kronk_agent.config.schema.config import Config
from kronk_agent.errors import ConfigError


def with_project_servers(config: Config, folder: Path | None = None) -> Config:
    """Return the configuration with the approved servers of the folder's ``.mcp.json``.

    The user is asked about new servers; without a terminal, they are not started. A server in the
    user's own configuration takes precedence over one of the same name.
    """
    consents = Consents()
    servers = dict(config.mcp_servers)
    for server in _project_servers(folder or Path.cwd()):
        if server.name in config.mcp_servers:
            continue
        verdict = consents.verdict(server)
        if verdict is None and _is_interactive():
            show_request(server)
            question = "Run it, now and whenever this folder asks for exactly the same?"
            verdict = "agreed" if click.confirm(question, err=True) else "declined"
            consents.remember(server, verdict)
        if verdict == "agreed":
            try:
                servers[server.name] = server.config()
            except ConfigError as error:
                _warn(str(error))
        elif verdict is None:
            _warn(
                f"{server.file} asks for the MCP server {server.name!r}, which is not approved: "
                f"`kronk-agent mcp approve {server.name}` shows and approves it"
            )
    return config.model_copy(update={"mcp_servers": servers})


def show_request(server: ProjectServer) -> None:
    """Print everything the user needs to see before approving a project's server."""
    from kronk_agent.host.tools.sanitize import escape_invisible  # heavy: the whole host

    verb = "run this program" if "command" in server.entry else "connect to"
    # Invisible and bidirectional characters must not hide anything from the user.
    click.echo(escape_invisible(f"{server.file} asks to {verb}:"), err=True)
    click.echo(escape_invisible(f"\n  {command_line(server.entry)}\n"), err=True)
    for line in server_details(server.entry):
        click.echo(escape_invisible(f"  {line}"), err=True)


def _project_servers(folder: Path) -> list[ProjectServer]:
    try:
        return project_servers(folder)
    except ConfigError as error:
        _warn(str(error))
        return []


def _is_interactive() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _warn(text: str) -> None:
    for line in text.splitlines():
        click.echo(f"warning: {printable(line)}", err=True)
