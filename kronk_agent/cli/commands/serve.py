"""``kronk-agent serve``: the models and agents for other programs, over HTTP."""

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
"""Which key of the configuration a flag overrides."""


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=int, metavar="N", help="Port to listen on; 11435 by default.")
@click.option("--model", metavar="PATH_OR_NAME", help="A GGUF file, or a name from models:.")
@global_options
@click.pass_obj
def serve(options: GlobalOptions, /, **flags: str | int | None) -> None:
    """Serve the models and agents over HTTP, as OpenAI's and Anthropic's APIs have it, and by MCP.

    Ctrl-C or SIGTERM ends it when the requests under way are answered; a second one ends it at
    once.
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
            f"{server.host} can be reached from elsewhere, so requests need an API key, and there "
            "is none: `kronk-agent keys create NAME` makes one",
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
            terminal.say(f"serving on {url}/v1; {url}/docs describes it")
            terminal.say(f"by MCP: {url}/mcp")
            await anyio.sleep_forever()
    return 0
