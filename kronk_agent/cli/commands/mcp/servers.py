"""``kronk-agent mcp list``, ``test`` and ``logs``: inspect the registered servers."""

from __future__ import annotations

import codecs
import json
import time
from collections import deque
from functools import partial
from pathlib import Path

import anyio
import click
from anyio import to_thread

from kronk_agent.cli.commands.mcp.add_remove import no_such_server
from kronk_agent.cli.commands.tools import tool_table
from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import LoadedConfig, load_config, read_config
from kronk_agent.config.mcp_clients.project import Consents, command_line, project_servers
from kronk_agent.config.schema.config import Config, McpServerConfig
from kronk_agent.config.secrets import masked_url
from kronk_agent.config.yaml.dump import server_as_shown
from kronk_agent.errors import ConfigError
from kronk_agent.host.diagnostics.log import log_directory
from kronk_agent.messages import JsonObject
from kronk_agent.runtime import Runtime

_POLL_SECONDS = 0.5


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@global_options
@click.pass_obj
def list_(options: GlobalOptions, as_json: bool) -> None:
    """List the registered servers and the servers that the folder's .mcp.json asks for.

    No server is started; `mcp test` does that. Secrets are not shown.
    """
    loaded = read_config(options.config)
    servers = [*_registered_rows(loaded), *_project_rows(options)]
    if as_json:
        click.echo(json.dumps(servers, indent=2))
    elif servers:
        click.echo("\n".join(_table(servers)))
    else:
        click.echo(
            "no MCP servers; register some with `kronk-agent mcp add` or `mcp import`", err=True
        )
    for mistake in loaded.unset:
        click.echo(f"warning: {mistake}", err=True)


def _registered_rows(loaded: LoadedConfig) -> list[JsonObject]:
    return [
        {
            "name": name,
            "transport": server.transport,
            "runs": command_line(server_as_shown(loaded, name)),
            "state": _state(server),
            "description": server.description,
        }
        for name, server in loaded.config.mcp_servers.items()
    ]


def _state(server: McpServerConfig) -> str:
    if server.disabled:
        return "disabled"
    return "enabled" if server.problem is None else "unusable"


def _project_rows(options: GlobalOptions) -> list[JsonObject]:
    known = load_config(options.config).mcp_servers
    consents = Consents()
    states = {"agreed": "approved", "declined": "declined", None: "not approved"}
    return [
        {
            "name": server.name,
            "transport": "stdio" if "command" in server.entry else "http",
            "runs": _shown_command(server.entry),
            "state": f"{states[consents.verdict(server)]} (.mcp.json)",
            "description": "",
        }
        for server in project_servers(Path.cwd())
        if server.name not in known
    ]


def _shown_command(entry: JsonObject) -> str:
    url = entry.get("url")
    return masked_url(url) if isinstance(url, str) else command_line(entry)


def _table(servers: list[JsonObject]) -> list[str]:
    rows = [("NAME", "STATE", "RUNS", "")]
    for server in servers:
        about = f"  # {server['description']}" if server["description"] else ""
        row = (server["name"], server["state"], server["runs"], about)
        rows.append(tuple(printable(str(value)) for value in row))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}{row[3]}" for row in rows]


@click.command()
@click.argument("name")
@global_options
@click.pass_obj
def test(options: GlobalOptions, name: str) -> None:
    """Start the server NAME, list its tools and stop it. The exit code is 1 if it fails."""
    config = load_config(options.config)
    server = config.mcp_servers.get(name)
    if server is None:
        raise ConfigError(no_such_server(name, config.mcp_servers))
    alone = {name: server.model_copy(update={"disabled": False})}
    run(partial(_test, config.model_copy(update={"mcp_servers": alone, "tools": ()})))


async def _test(config: Config, _: Interrupts) -> int:
    terminal = Terminal()
    started = time.perf_counter()
    async with Runtime.open(config) as runtime:
        await runtime.wait_servers_ready()
        seconds = time.perf_counter() - started
        (status,) = runtime.servers
        if status.error is not None:
            terminal.say(f"error: {status.error}", style="red")
            return 1
        tools = [toolset for toolset in runtime.toolsets if toolset.name == status.name]
        click.echo("\n".join(tool_table(tools)))
        terminal.say(f"{status.name}: {status.num_tools} tools after {seconds:.1f} s")
    return 0


@click.command()
@click.argument("name")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Number of lines to show, from the end.",
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@global_options
@click.pass_obj
def logs(options: GlobalOptions, name: str, lines: int, follow: bool) -> None:
    """Show what the server NAME wrote to stderr."""
    known = load_config(options.config).mcp_servers
    file = log_directory() / f"{name}.log"
    if name not in known and not file.exists():
        raise ConfigError(no_such_server(name, known))
    if not _size(file):
        click.echo(f"{name} has written nothing to {file} yet", err=True)
    last, position = _last_lines(file, lines)
    click.echo(printable(last), nl=False)
    if follow:
        run(partial(_follow, file, position))


def _last_lines(file: Path, number: int) -> tuple[str, int]:
    """Return the last lines and the file position after them, from which to follow."""
    if not file.exists():
        return "", 0
    with file.open("rb") as opened:
        lines = b"".join(deque(opened, number))
        return lines.decode("utf-8", errors="replace"), opened.tell()


async def _follow(file: Path, position: int, _: Interrupts) -> int:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while True:
        await anyio.sleep(_POLL_SECONDS)
        data, position = await to_thread.run_sync(_read_new, file, position)
        click.echo(printable(decoder.decode(data)), nl=False)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _read_new(file: Path, position: int) -> tuple[bytes, int]:
    """Return the data written since ``position``, and the new position."""
    size = _size(file)
    if size < position:
        position = 0  # the file was rotated
    if size == position:
        return b"", position
    with file.open("rb") as opened:
        opened.seek(position)
        data = opened.read()
    return data, position + len(data)
