"""Waits for the configured MCP servers and reports failures."""

from __future__ import annotations

from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.runtime import Runtime


async def wait_for_servers(runtime: Runtime, terminal: Terminal) -> None:
    """Wait until each server is ready or has failed, then report the failures."""
    await wait_until_settled(runtime, terminal)
    say_failures(runtime, terminal)


async def wait_until_settled(runtime: Runtime, terminal: Terminal) -> None:
    """Wait until each server is ready or has failed, without reporting failures."""
    starting = [server.name for server in runtime.servers if server.state == "starting"]
    if starting:
        terminal.status(f"starting MCP servers: {', '.join(starting)} ...")
    await runtime.wait_servers_ready()
    terminal.close()


async def wait_for_required(runtime: Runtime, terminal: Terminal) -> None:
    """Wait for the servers marked as required.

    Raises:
        ServerUnavailableError: one of them failed.
    """
    if any(server.state == "starting" for server in runtime.servers):
        terminal.status("starting MCP servers ...")
    await runtime.wait_required_servers()
    terminal.close()


class FailureNews:
    """Reports the failure of each server once, however late it happens."""

    def __init__(self, runtime: Runtime, terminal: Terminal) -> None:
        self._runtime = runtime
        self._terminal = terminal
        self._reported: set[str] = set()

    def say(self) -> None:
        """Report the failures that have not been reported yet."""
        for server in self._runtime.servers:
            if server.state == "failed" and server.error and server.name not in self._reported:
                self._reported.add(server.name)
                self._terminal.say(f"warning: {server.error}", style="yellow")


def say_failures(runtime: Runtime, terminal: Terminal) -> None:
    """Print one line for each failed server; the error names it and the remedy."""
    for server in runtime.servers:
        if server.state == "failed":
            terminal.say(f"warning: {server.error}", style="yellow")
