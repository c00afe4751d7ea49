"""``kronk-agent mcp web``: the web tools as an MCP server on stdio."""

from __future__ import annotations

from functools import partial

import click

from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.tools.policy import rules_in


@click.command()
@global_options
@click.pass_obj
def web(options: GlobalOptions) -> None:
    """Serve web_search and web_fetch on stdin and stdout, for an MCP client to start.

    `web_search:` and `web_fetch:` in the configuration apply. No model is loaded.
    """
    run(partial(_serve_web, load_config(options.config)))


async def _serve_web(config: Config, _: Interrupts) -> int:
    from kronk_agent.runtime import web_tools  # heavy, like all that follows
    from kronk_mcp_servers.stdio import serve_stdio
    from kronk_mcp_servers.web import web_server

    await serve_stdio(web_server(web_tools(config), policy=rules_in(config.policy)))
    return 0
