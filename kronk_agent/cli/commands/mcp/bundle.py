"""``kronk-agent mcp bundle``: makes us an extension that Claude Desktop installs."""

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
    """Write FILE, an MCP bundle (.mcpb) for `kronk-agent mcp serve`, for Claude Desktop to install.

    It starts this installation, so it is of use on this machine only. With --config, it begins with
    that file, and another can be chosen in Claude Desktop. A file that is there is replaced.
    """
    if file.suffix != ".mcpb":
        raise click.BadParameter(
            f"{str(file)!r} does not end in .mcpb, by which it is known", param_hint="FILE"
        )
    load_config(options.config)  # better said here than by a client that cannot start us
    config = None if options.config is None else options.config.absolute()
    try:
        file.write_bytes(packed(bundle_manifest(own_command(), config)))
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=file) from error
    click.echo(f"wrote {file}; open it with Claude Desktop", err=True)
