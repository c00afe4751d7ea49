"""Waiting for the registered MCP servers, and saying which of them failed."""

from __future__ import annotations

from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.runtime import Runtime


async def wait_for_servers(runtime: Runtime, terminal: Terminal) -> None:
    """Wait until each server is ready or has failed, and say which failed."""
    await wait_until_settled(runtime, terminal)
    say_failures(runtime, terminal)


async def wait_until_settled(runtime: Runtime, terminal: Terminal) -> None:
    """The same, and say nothing."""
    starting = [server.name for server in runtime.servers if server.state == "starting"]
    if starting:
        terminal.status(f"starting MCP servers: {', '.join(starting)} ...")
    await runtime.wait_servers_ready()
    terminal.close()


async def wait_for_required(runtime: Runtime, terminal: Terminal) -> None:
    """Wait for the servers without which nothing is to begin.

    Raises:
        ServerUnavailableError: one of them failed.
    """
    if any(server.state == "starting" for server in runtime.servers):
        terminal.status("starting MCP servers ...")
    await runtime.wait_required_servers()
    terminal.close()


class FailureNews:
    """Says of each server once that it failed, however late that is."""

    def __init__(self, runtime: Runtime, terminal: Terminal) -> None:
        self._runtime = runtime
        self._terminal = terminal
        self._said: set[str] = set()

    def say(self) -> None:
        for server in self._runtime.servers:
            if server.state == "failed" and server.error and server.name not in self._said:
                self._said.add(server.name)
                self._terminal.say(f"warning: {server.error}", style="yellow")


def say_failures(runtime: Runtime, terminal: Terminal) -> None:
    """A line for each server that failed; the error names it and what would help."""
    for server in runtime.servers:
        if server.state == "failed":
            terminal.say(f"warning: {server.error}", style="yellow")
