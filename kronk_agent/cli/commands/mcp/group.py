"""``kronk-agent mcp``: manages MCP servers, and serves kronk-agent as one."""

from __future__ import annotations

import click

from kronk_agent.cli.lazy_commands import LazyCommand, LazyGroup

_SERVERS = "kronk_agent.cli.commands.mcp.servers"
_COMMANDS = (
    LazyCommand("add", "kronk_agent.cli.commands.mcp.add_remove:add", "Register a server."),
    LazyCommand(
        "approve",
        "kronk_agent.cli.commands.mcp.approve:approve",
        "Approve changed tools or a project's server.",
    ),
    LazyCommand(
        "bundle",
        "kronk_agent.cli.commands.mcp.bundle:bundle",
        "Write an extension for Claude Desktop.",
    ),
    LazyCommand(
        "import",
        "kronk_agent.cli.commands.mcp.import_:import_",
        "Import servers from another host.",
    ),
    LazyCommand(
        "install",
        "kronk_agent.cli.commands.mcp.install:install",
        "Register kronk-agent in an MCP client.",
    ),
    LazyCommand("list", f"{_SERVERS}:list_", "List the registered servers."),
    LazyCommand("login", "kronk_agent.cli.commands.mcp.login:login", "Sign in to a server."),
    LazyCommand("logout", "kronk_agent.cli.commands.mcp.login:logout", "Sign out of a server."),
    LazyCommand("logs", f"{_SERVERS}:logs", "Show a server's stderr."),
    LazyCommand("remove", "kronk_agent.cli.commands.mcp.add_remove:remove", "Remove a server."),
    LazyCommand(
        "serve", "kronk_agent.cli.commands.mcp.serve:serve", "Serve the agent over MCP on stdio."
    ),
    LazyCommand("test", f"{_SERVERS}:test", "Start a server and list its tools."),
    LazyCommand(
        "web",
        "kronk_agent.cli.commands.mcp.web:web",
        "Serve web_search and web_fetch over MCP on stdio.",
    ),
)


@click.group(cls=LazyGroup, commands=_COMMANDS)
def mcp() -> None:
    """Manage MCP servers, and serve the agent or the web tools over MCP."""
