"""``kronk-agent serve``: models and agents over HTTP."""

from __future__ import annotations

from functools import partial

import anyio
import click

from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.errors import ConfigError
from kronk_agent.runtime import Runtime

_CONFIG_KEYS = {"host": "server.host", "port": "server.port", "model": "model"}
"""The configuration key that each flag overrides."""


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=int, metavar="N", help="Port to listen on; 11435 by default.")
@click.option("--model", metavar="PATH_OR_NAME", help="A GGUF file, or a name from models:.")
@global_options
@click.pass_obj
def serve(options: GlobalOptions, /, **flags: str | int | None) -> None:
    """Serve models and agents over HTTP: OpenAI and Anthropic APIs, and MCP.

    Ctrl-C or SIGTERM stops the server after requests in progress are answered; a second one stops
    it immediately.
    """
    given = {_CONFIG_KEYS[name]: value for name, value in flags.items() if value is not None}
    run(partial(_serve, load_config(options.config, overrides=given)))


async def _serve(config: Config, _: Interrupts) -> int:
    from kronk_agent.api import create_app  # heavy, like all that follows
    from kronk_agent.api.middleware.api_keys import KeyFile
    from kronk_agent.api.middleware.identity import current_client
    from kronk_agent.api.server import serving_at
    from kronk_mcp_servers.agent import ClientUser, agent_server
    from kronk_mcp_servers.http import McpApp

    terminal = Terminal()
    server = config.server
    if server.needs_key and not server.api_keys and not KeyFile().all():
        raise ConfigError(
            f"{server.host} is reachable from other machines and no API key exists: "
            "`kronk-agent keys create NAME` creates one",
            key="server.host",
        )
    person = ClientUser()
    async with (
        Runtime.open(config, person=person) as runtime,
        agent_server(runtime, person, is_remote=True) as mcp_server,
    ):
        mcp_app = McpApp(
            mcp_server,
            caller=lambda: current_client().id or None,
            max_body_bytes=server.max_body_bytes,
        )
        async with (
            serving_at(create_app(runtime, mcp_app=mcp_app), server) as url,
            mcp_app.serving(),
        ):
            terminal.say(f"serving on {url}/v1; documentation: {url}/docs")
            terminal.say(f"MCP: {url}/mcp")
            await anyio.sleep_forever()
    return 0
