"""``kronk-agent mcp``: the MCP servers that are registered, and the ones kronk-agent is."""

from __future__ import annotations

import click

from kronk_agent.cli.lazy_commands import LazyCommand, LazyGroup

_REGISTERED = "kronk_agent.cli.commands.mcp.servers"
_COMMANDS = (
    LazyCommand("add", "kronk_agent.cli.commands.mcp.add_remove:add", "Register a server."),
    LazyCommand(
        "approve", "kronk_agent.cli.commands.mcp.approve:approve", "Let changed tools be used."
    ),
    LazyCommand(
        "bundle", "kronk_agent.cli.commands.mcp.bundle:bundle", "Write an extension for Claude."
    ),
    LazyCommand(
        "import", "kronk_agent.cli.commands.mcp.import_:import_", "Register those of another host."
    ),
    LazyCommand(
        "install", "kronk_agent.cli.commands.mcp.install:install", "Make us known to a client."
    ),
    LazyCommand("list", f"{_REGISTERED}:list_", "List the registered servers."),
    LazyCommand("login", "kronk_agent.cli.commands.mcp.login:login", "Sign in to a server."),
    LazyCommand("logout", "kronk_agent.cli.commands.mcp.login:logout", "Sign out of a server."),
    LazyCommand("logs", f"{_REGISTERED}:logs", "Show what a server's program wrote."),
    LazyCommand(
        "remove", "kronk_agent.cli.commands.mcp.add_remove:remove", "Take a server out again."
    ),
    LazyCommand(
        "serve", "kronk_agent.cli.commands.mcp.serve:serve", "Serve the agent by MCP, on stdio."
    ),
    LazyCommand("test", f"{_REGISTERED}:test", "Start a server and list its tools."),
    LazyCommand(
        "web", "kronk_agent.cli.commands.mcp.web:web", "Serve web_search and web_fetch by MCP."
    ),
)


@click.group(cls=LazyGroup, commands=_COMMANDS)
def mcp() -> None:
    """Register MCP servers, look after them, and serve our own tools by MCP."""
