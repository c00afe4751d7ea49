"""Waiting for the registered MCP servers, and saying which of them failed."""

from __future__ import annotations

from kronk_agent.cli.terminal import Terminal
from kronk_agent.runtime import Runtime


async def wait_for_servers(runtime: Runtime, terminal: Terminal) -> None:
    """Wait until each server is ready or has failed, and say which failed."""
    starting = [server.name for server in runtime.servers if server.state == "starting"]
    if starting:
        terminal.status(f"starting MCP servers: {', '.join(starting)} ...")
    await runtime.servers_settled()
    terminal.close()
    say_failures(runtime, terminal)


def say_failures(runtime: Runtime, terminal: Terminal) -> None:
    """A line for each server that failed; the error names it and what would help."""
    for server in runtime.servers:
        if server.state == "failed":
            terminal.say(f"warning: {server.error}", style="yellow")
