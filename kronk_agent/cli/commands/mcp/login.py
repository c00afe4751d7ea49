"""``kronk-agent mcp login`` and ``logout``: OAuth for remote servers."""

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
@click.option("--no-browser", is_flag=True, help="Only print the URL to open.")
@global_options
@click.pass_obj
def login(options: GlobalOptions, name: str, no_browser: bool) -> None:
    """Sign in to the server NAME in your browser and store the login.

    The browser is redirected to a page on this machine. If your browser is on another machine, set
    oauth.callback_port in the configuration and forward that port with ssh -L.
    """
    run(partial(_login, name, _remote_server(options, name), no_browser))


@click.command()
@click.argument("name")
@global_options
@click.pass_obj
def logout(options: GlobalOptions, name: str) -> None:
    """Delete the stored login to the server NAME, and revoke it if the server supports that."""
    run(partial(_logout, name, _remote_server(options, name)))


def _remote_server(options: GlobalOptions, name: str) -> McpServerConfig:
    servers = load_config(options.config).mcp_servers
    if name not in servers:
        raise ConfigError(no_such_server(name, servers))
    server = servers[name]
    if server.problem is not None:
        raise ConfigError(server.problem)
    if server.url is None:
        message = "is a local program, which needs no login"
        raise ConfigError(message, key=f"mcp_servers.{name}")
    if any(header.lower() == "authorization" for header in server.headers):
        message = "is authenticated by headers.Authorization: remove that to sign in with OAuth"
        raise ConfigError(message, key=f"mcp_servers.{name}")
    if server.oauth.flow == "client_credentials":
        message = "client_credentials needs no login: programs sign in by themselves"
        raise ConfigError(message, key=f"mcp_servers.{name}.oauth.flow")
    return server


async def _login(name: str, server: McpServerConfig, no_browser: bool, _: Interrupts) -> int:
    from kronk_agent.host.oauth.flow import Logins
    from kronk_agent.host.oauth.login import open_browser, sign_in  # heavy, like the next two
    from kronk_agent.host.oauth.token_store import open_token_store

    terminal = Terminal()

    async def take_to(url: str) -> None:
        is_open = not no_browser and await open_browser(url)
        text = "opened your browser at" if is_open else "open this URL in your browser:"
        terminal.say(f"{text}\n\n  {url}\n")

    logins = Logins(await to_thread.run_sync(open_token_store))
    if await sign_in(name, server, logins, take_to):
        terminal.say(f"signed in to {name}; the login is stored in {logins.location}")
    else:
        terminal.say(f"{name} needs no login")
    return 0


async def _logout(name: str, server: McpServerConfig, _: Interrupts) -> int:
    from kronk_agent.host.oauth.flow import Logins
    from kronk_agent.host.oauth.login import sign_out  # heavy, like the next two
    from kronk_agent.host.oauth.token_store import open_token_store

    logins = Logins(await to_thread.run_sync(open_token_store))
    was_in = await sign_out(name, server, logins)
    text = f"signed out of {name}" if was_in else f"not signed in to {name}"
    Terminal().say(text)
    return 0
