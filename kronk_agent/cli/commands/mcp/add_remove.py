"""``kronk-agent mcp add`` and ``remove``: edit the servers in the YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import click

from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.config.loading import config_path
from kronk_agent.config.mcp_clients.importing import mistakes_in
from kronk_agent.config.mcp_clients.project import command_line
from kronk_agent.config.secrets import secrets_in
from kronk_agent.config.yaml.editing import with_servers, without_server, write_config
from kronk_agent.config.yaml.registered import registered_in
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--env",
    "-e",
    multiple=True,
    metavar="NAME=VALUE",
    help="Environment variable for the server; repeatable.",
)
@click.option(
    "--header",
    "-H",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="HTTP header for requests; repeatable.",
)
@click.option("--cwd", type=click.Path(path_type=Path), metavar="PATH", help="Working directory.")
@click.option("--type", "type_", type=click.Choice(["stdio", "http", "sse"]), help="Transport.")
@click.option("--replace", is_flag=True, help="Overwrite an existing server of that name.")
@global_options
@click.argument("name")
@click.argument("command_or_url")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def add(
    options: GlobalOptions,
    env: tuple[str, ...],
    header: tuple[str, ...],
    cwd: Path | None,
    type_: str | None,
    replace: bool,
    name: str,
    command_or_url: str,
    args: tuple[str, ...],
) -> None:
    """Register the server NAME: a command with its arguments, or a URL.

    Options go before NAME; everything after the command is passed to it.

    \b
    kronk-agent mcp add time uvx mcp-server-time --local-timezone UTC
    kronk-agent mcp add -H 'Authorization: Bearer ${TOKEN}' work https://mcp.example.com/mcp
    """
    entry: JsonObject = {}
    if command_or_url.startswith(("http://", "https://")):
        if args:
            raise click.UsageError(f"a URL takes no arguments, got {args[0]!r}")
        entry["url"] = command_or_url
    else:
        entry["command"] = command_or_url
        if args:
            entry["args"] = list(args)
    if type_ is not None:
        entry["type"] = type_
    if env:
        entry["env"] = dict(_pair(pair, "=", "--env") for pair in env)
    if header:
        entry["headers"] = dict(_pair(pair, ":", "--header") for pair in header)
    if cwd is not None:
        entry["cwd"] = str(cwd.absolute())
    if mistakes := mistakes_in(name, entry):
        raise ConfigError.together(mistakes)
    file = config_path(options.config)
    text = read_text(file)
    if name in registered_in(text, file) and not replace:
        raise ConfigError(f"{name} already exists: --replace overwrites it", path=file)
    write_config(file, with_servers(text, {name: entry}, file))
    say_written(file, {name: entry})
    for secret in secrets_in(name, entry):
        hint = f"better write ${{{secret.variable}}} in quotes and set it in the environment"
        click.echo(f"notice: {name}.{secret.key} looks like a secret: {hint}", err=True)


@click.command()
@click.argument("name")
@global_options
@click.pass_obj
def remove(options: GlobalOptions, name: str) -> None:
    """Remove the server NAME from the YAML file."""
    file = config_path(options.config)
    text = read_text(file)
    registered = registered_in(text, file)
    if name not in registered:
        raise ConfigError(no_such_server(name, registered), path=file)
    write_config(file, without_server(text, name, file))
    click.echo(f"removed {name} from {file}", err=True)


def read_text(file: Path) -> str:
    """Read the file; returns "" if it does not exist.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=file) from error


def no_such_server(name: str, registered: Mapping[str, object]) -> str:
    """Return the error message for an unknown server, with the nearest name if any.

    Args:
        name: the unknown name.
        registered: the servers by name.
    """
    nearest = difflib.get_close_matches(name, registered, n=1)
    hint = (
        f"did you mean {nearest[0]}?"
        if nearest
        else f"registered: {', '.join(registered) or 'none'}"
    )
    return f"unknown MCP server {name!r}: {hint}"


def say_written(file: Path, servers: Mapping[str, JsonObject]) -> None:
    """Report the servers that were added and the file that was written."""
    for name, entry in servers.items():
        click.echo(f"added {name}: {command_line(entry)}", err=True)
    click.echo(f"wrote {file}", err=True)


def _pair(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise click.UsageError(f"{option} must be NAME{separator}VALUE, got {name!r}")
    return name.strip(), value.strip() if separator == ":" else value
