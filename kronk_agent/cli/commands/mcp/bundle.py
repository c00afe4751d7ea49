"""``kronk-agent mcp bundle``: packs kronk-agent as an extension for Claude Desktop."""

from __future__ import annotations

from pathlib import Path

import click

from kronk_agent.cli.commands.mcp.own_command import own_command
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.config.loading import load_config
from kronk_agent.config.mcp_clients.bundling import bundle as packed
from kronk_agent.config.mcp_clients.bundling import bundle_manifest
from kronk_agent.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@global_options
@click.pass_obj
def bundle(options: GlobalOptions, file: Path) -> None:
    """Write FILE, an MCP bundle (.mcpb) that adds `kronk-agent mcp serve` to Claude Desktop.

    The bundle starts this installation, so it works on this machine only. --config sets the
    bundle's default configuration file, which can be changed in Claude Desktop. An existing FILE is
    overwritten.
    """
    if file.suffix != ".mcpb":
        raise click.BadParameter(f"{str(file)!r} must end in .mcpb", param_hint="FILE")
    load_config(options.config)  # fail here rather than in a client that cannot start us
    config = None if options.config is None else options.config.absolute()
    try:
        file.write_bytes(packed(bundle_manifest(own_command(), config)))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=file) from error
    click.echo(f"wrote {file}; open it with Claude Desktop", err=True)
