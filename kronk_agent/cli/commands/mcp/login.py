"""``kronk-agent mcp login`` and ``logout``: OAuth, for servers on the network."""

from __future__ import annotations

from functools import partial

import click
from anyio import to_thread

from kronk_agent.cli.commands.mcp.add_remove import no_such_server
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ConfigError


@click.command()
@click.argument("name")
@click.option("--no-browser", is_flag=True, help="Only print the address to open.")
@global_options
@click.pass_obj
def login(options: GlobalOptions, name: str, no_browser: bool) -> None:
    """Sign in to the server NAME in your browser, and keep the login.

    The browser comes back to a page on this machine. On another machine, forward its port:
    give oauth.callback_port in the configuration, and use ssh -L.
    """
    run(partial(_login, name, _remote_server(options, name), no_browser))


@click.command()
@click.argument("name")
@global_options
@click.pass_obj
def logout(options: GlobalOptions, name: str) -> None:
    """Forget the login to the server NAME, and have it revoked where that is possible."""
    run(partial(_logout, name, _remote_server(options, name)))


def _remote_server(options: GlobalOptions, name: str) -> McpServerConfig:
    servers = load_config(options.config).mcp_servers
    if name not in servers:
        raise ConfigError(no_such_server(name, servers))
    server = servers[name]
    if server.problem is not None:
        raise ConfigError(server.problem)
    if server.url is None:
        words = "is a program on this machine: there is nothing to sign in to"
        raise ConfigError(words, key=f"mcp_servers.{name}")
    if any(header.lower() == "authorization" for header in server.headers):
        words = "is signed in to by headers.Authorization: remove that to sign in by OAuth"
        raise ConfigError(words, key=f"mcp_servers.{name}")
    if server.oauth.flow == "client_credentials":
        words = "client_credentials needs no login: each program signs in by itself"
        raise ConfigError(words, key=f"mcp_servers.{name}.oauth.flow")
    return server


async def _login(name: str, server: McpServerConfig, no_browser: bool, _: Interrupts) -> int:
    from kronk_agent.host.oauth.flow import Logins
    from kronk_agent.host.oauth.login import open_browser, sign_in  # heavy, like the next two
    from kronk_agent.host.oauth.token_store import open_token_store

    terminal = Terminal()

    async def take_to(url: str) -> None:
        is_open = not no_browser and await open_browser(url)
        words = "your browser was opened at" if is_open else "open this in your browser:"
        terminal.say(f"{words}\n\n  {url}\n")

    logins = Logins(await to_thread.run_sync(open_token_store))
    if await sign_in(name, server, logins, take_to):
        terminal.say(f"signed in to {name}; the login is kept in {logins.location}")
    else:
        terminal.say(f"{name} lets everybody in: there is nothing to sign in to")
    return 0


async def _logout(name: str, server: McpServerConfig, _: Interrupts) -> int:
    from kronk_agent.host.oauth.flow import Logins
    from kronk_agent.host.oauth.login import sign_out  # heavy, like the next two
    from kronk_agent.host.oauth.token_store import open_token_store

    logins = Logins(await to_thread.run_sync(open_token_store))
    was_in = await sign_out(name, server, logins)
    words = f"signed out of {name}" if was_in else f"there was no login to {name}"
    Terminal().say(words)
    return 0
