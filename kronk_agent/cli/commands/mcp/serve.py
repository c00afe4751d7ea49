"""``kronk-agent mcp serve``: the agent and its tools for an MCP client, on stdio."""

from __future__ import annotations

from functools import partial

import click

from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config


@click.command()
@click.option("--model", metavar="PATH_OR_NAME", help="A GGUF file, or a name from models:.")
@global_options
@click.pass_obj
def serve(options: GlobalOptions, /, model: str | None) -> None:
    """Serve the agent on stdin and stdout, for an MCP client to start.

    `serve_mcp:` in the configuration sets which tools clients see. The model is loaded on first
    use.
    """
    overrides = {} if model is None else {"model": model}
    run(partial(_serve, load_config(options.config, overrides=overrides)))


async def _serve(config: Config, _: Interrupts) -> int:
    from kronk_agent.runtime import Runtime  # heavy, like all that follows
    from kronk_mcp_servers.agent import ClientUser, agent_server
    from kronk_mcp_servers.stdio import serve_stdio

    person = ClientUser(is_only_one=True)
    async with (
        Runtime.open(config, person=person) as runtime,
        agent_server(runtime, person) as server,
    ):
        await serve_stdio(server)
    return 0
