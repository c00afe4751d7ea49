"""``kronk-agent mcp import``: import servers from the files of other MCP hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from kronk_agent.cli.commands.mcp.add_remove import read_text, say_written
from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.config.loading import config_path
from kronk_agent.config.mcp_clients.importing import (
    FoundServer,
    ImportedServer,
    UnusableServer,
    read_any_file,
    read_host_file,
)
from kronk_agent.config.mcp_clients.known_clients import HOSTS, IMPORTABLE, files_of
from kronk_agent.config.secrets import secrets_in, without_secrets
from kronk_agent.config.yaml.editing import with_servers, write_config
from kronk_agent.config.yaml.registered import registered_in
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject


@click.command("import")
@click.argument("source", metavar=f"{'|'.join(IMPORTABLE)}|FILE")
@click.option("--only", multiple=True, metavar="NAME", help="Import only this server; repeatable.")
@click.option(
    "--secrets",
    type=click.Choice(["keep", "env"]),
    default="keep",
    show_default=True,
    help="Copy values that look like secrets, or write ${VARIABLE} instead.",
)
@click.option("--replace", is_flag=True, help="Overwrite existing servers of the same name.")
@click.option("--dry-run", is_flag=True, help="Only print what would be written.")
@global_options
@click.pass_obj
def import_(
    options: GlobalOptions,
    source: str,
    only: tuple[str, ...],
    secrets: str,
    replace: bool,
    dry_run: bool,
) -> None:
    """Import the MCP servers of another host into the YAML file.

    The source is the name of a host, whose files are read from their standard places, or a FILE in
    the format of any of these hosts or of Cline. Existing servers are not changed. The exit code is
    1 if any server could not be imported.
    """
    imports = [each for each in _read(source) if not only or each.name in only]
    if missing := set(only) - {each.name for each in imports}:
        raise ConfigError(f"{source} has no MCP server {', '.join(sorted(missing))}")
    file = config_path(options.config)
    text = read_text(file)
    registered = registered_in(text, file)
    chosen: dict[str, JsonObject] = {}
    num_skipped = 0
    for each in imports:
        if isinstance(each, UnusableServer):
            _say(f"skipped {each.name}: {each.reason}")
            num_skipped += 1
        elif registered.get(each.name) == (entry := _entry(each, secrets)):
            _say(f"unchanged {each.name}")
        elif each.name in chosen:
            _say(f"skipped {each.name} of {each.source.path}: duplicate name")
            num_skipped += 1
        elif each.name in registered and not replace:
            _say(f"skipped {each.name}: already exists and differs; --replace overwrites it")
            num_skipped += 1
        else:
            chosen[each.name] = entry
            _say_notes(each, entry, secrets)
    if dry_run:
        click.echo(with_servers("", chosen, file) if chosen else "", nl=False)
    elif chosen:
        write_config(file, with_servers(text, chosen, file))
        say_written(file, chosen)
    raise click.exceptions.Exit(1 if num_skipped else 0)


def _read(source: str) -> Sequence[ImportedServer]:
    home, here = Path.home(), Path.cwd()
    if source not in IMPORTABLE:
        path = Path(source).expanduser().absolute()
        if not path.exists() and "/" not in source and "." not in source:
            known = ", ".join(IMPORTABLE)
            raise click.UsageError(f"{source!r} is neither a file nor one of {known}")
        return read_any_file(path, home=home, working_directory=here)
    files = files_of(source, home=home, working_directory=here)
    existing = [file for file in files if file.path.is_file()]
    if not existing:
        searched = " nor ".join(str(file.path) for file in files)
        raise ConfigError(
            f"no configuration file of {HOSTS[source].title}: neither {searched} exists"
        )
    imports: list[ImportedServer] = []
    for file in existing:
        _say(f"reading {file.path}")
        imports += read_host_file(file, home=home, working_directory=here)
    return imports


def _entry(found: FoundServer, secrets: str) -> JsonObject:
    return without_secrets(found.name, found.entry) if secrets == "env" else found.entry


def _say_notes(found: FoundServer, entry: JsonObject, secrets: str) -> None:
    for note in found.notes:
        _say(f"notice: {found.name}: {note}")
    for secret in secrets_in(found.name, found.entry):
        if secrets == "env":
            notice = f"set {secret.variable} to the value of {secret.key} in {found.source.path}"
        else:
            notice = f"{secret.key} looks like a secret and was copied; --secrets env avoids that"
        _say(f"notice: {found.name}: {notice}")


def _say(line: str) -> None:
    click.echo(printable(line), err=True)
