"""``kronk-agent config``: write, check and show the YAML file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.errors import ConfigError

# The commands import kronk_agent.config lazily: pydantic and the YAML parser take 60 ms.

_Path = click.Path(path_type=Path)


@click.group()
def config() -> None:
    """Write, check and show the configuration file."""


@config.command()
@click.argument("path", type=_Path, required=False)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@global_options
@click.pass_obj
def init(options: GlobalOptions, path: Path | None, force: bool) -> None:
    """Write an annotated file with all defaults to PATH (default: the standard location)."""
    from kronk_agent.config.data_files import read_shipped
    from kronk_agent.config.loading import config_path

    file = config_path(path or options.config)
    try:
        if file.is_dir():
            raise ConfigError("is a directory: give the path of a file", path=file)
        if file.exists() and not force:
            raise ConfigError("already exists: --force overwrites it", path=file)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(read_shipped("default.yaml"), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=file) from error
    click.echo(f"wrote {file}", err=True)


@config.command()
@click.argument("path", type=_Path, required=False)
@click.option("--no-imports", is_flag=True, help="Do not import the modules of your own tools.")
@global_options
@click.pass_obj
def check(options: GlobalOptions, path: Path | None, no_imports: bool) -> None:
    """Report every mistake in the file, one line each.

    Checks files, models, programs, and the names of tools, models and agents. Your own tools are
    imported; no model is loaded and no MCP server is started.
    """
    from kronk_agent.config.loading import config_path, read_config
    from kronk_agent.config.mcp_clients.project import project_servers
    from kronk_agent.runtime import config_check

    path = path or options.config
    try:
        loaded = read_config(path)
        servers = [server.name for server in project_servers(Path.cwd())]
        mistakes = config_check.check(loaded, imports=not no_imports, servers=servers)
        if mistakes:
            raise ConfigError.together(mistakes)
    except ConfigError as error:
        click.echo(str(error))
        raise click.exceptions.Exit(1) from None
    if loaded.path is None:
        click.echo(f"ok: defaults, {config_path(path)} does not exist")
    else:
        click.echo(f"ok: {loaded.path}")


@config.command()
@global_options
@click.pass_obj
def show(options: GlobalOptions) -> None:
    """Print the effective configuration as YAML: defaults, file and environment merged.

    Secrets are masked, and values with ${VAR} are printed as the file has them.
    """
    from kronk_agent.config.loading import read_config
    from kronk_agent.config.yaml.dump import to_yaml

    click.echo(to_yaml(read_config(options.config)), nl=False)


@config.command("path")
@global_options
@click.pass_obj
def path_(options: GlobalOptions) -> None:
    """Print the path of the configuration file, even if the file does not exist."""
    from kronk_agent.config.loading import config_path

    file = config_path(options.config)
    click.echo(file)
    if not file.exists():
        click.echo("it does not exist: `kronk-agent config init` creates it", err=True)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from kronk_agent.config.schema.config import Config

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(dialect | Config.model_json_schema(), indent=2))
