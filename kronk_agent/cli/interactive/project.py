"""The MCP servers a project asks for, joined to the person's own once they agreed."""

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
    surroundings,
)
from kronk_agent.config.schema.config import Config
from kronk_agent.errors import ConfigError


def with_project_servers(config: Config, folder: Path | None = None) -> Config:
    """The configuration with the servers of the folder's ``.mcp.json`` that were agreed to.

    A person at a terminal is asked about new ones. Nobody there means no. A server of the person's
    own configuration hides one of the same name.
    """
    consents = Consents()
    servers = dict(config.mcp_servers)
    for server in _asked_for(folder or Path.cwd()):
        if server.name in config.mcp_servers:
            continue
        verdict = consents.verdict(server)
        if verdict is None and _is_person_there():
            show_request(server)
            question = "Run it, now and whenever this folder asks for exactly this?"
            verdict = "agreed" if click.confirm(question, err=True) else "declined"
            consents.remember(server, verdict)
        if verdict == "agreed":
            try:
                servers[server.name] = server.config()
            except ConfigError as error:
                _warn(str(error))
        elif verdict is None:
            _warn(
                f"{server.file} asks for the MCP server {server.name!r}, which is not run: "
                f"`kronk-agent mcp approve {server.name}` shows what it would be"
            )
    return config.model_copy(update={"mcp_servers": servers})


def show_request(server: ProjectServer) -> None:
    """All that a person needs to see before they agree."""
    from kronk_agent.host.tools.sanitize import escape_invisible  # heavy: the whole host

    verb = "run this program" if "command" in server.entry else "connect to"
    # What a terminal does not draw, or draws backwards, must not hide from whoever agrees.
    click.echo(escape_invisible(f"{server.file} asks to {verb}:"), err=True)
    click.echo(escape_invisible(f"\n  {command_line(server.entry)}\n"), err=True)
    for line in surroundings(server.entry):
        click.echo(escape_invisible(f"  {line}"), err=True)


def _asked_for(folder: Path) -> list[ProjectServer]:
    try:
        return project_servers(folder)
    except ConfigError as error:
        _warn(str(error))
        return []


def _is_person_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _warn(text: str) -> None:
    for line in text.splitlines():
        click.echo(f"warning: {printable(line)}", err=True)
