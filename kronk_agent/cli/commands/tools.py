"""``kronk-agent tools``: list the tools and call one by hand."""

from __future__ import annotations

import difflib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import anyio
import click
from anyio.streams.memory import MemoryObjectReceiveStream

from kronk_agent.agent.tool_calls.tool_costs import ToolCosts, count_tool_tokens
from kronk_agent.agent.tool_calls.tool_executor import ToolExecutor, collect_tools
from kronk_agent.cli.commands.call_arguments import arguments_as_json
from kronk_agent.cli.interactive.project import with_project_servers
from kronk_agent.cli.interactive.rendering import JsonRenderer, progress_text
from kronk_agent.cli.interactive.sanitize import printable
from kronk_agent.cli.interactive.servers import wait_for_servers
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.host.tools.naming import server_prefix
from kronk_agent.messages import (
    Event,
    JsonObject,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolProgress,
    ToolResult,
)
from kronk_agent.model import ModelInfo
from kronk_agent.runtime import Runtime
from kronk_agent.tools import Tool, Toolset


@click.group()
def tools() -> None:
    """List the tools or call one. A model is loaded only to count tokens."""


@tools.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, including the schemas.")
@click.option("--tokens", is_flag=True, help="Load the model and count each tool's prompt tokens.")
@global_options
@click.pass_obj
def list_(options: GlobalOptions, as_json: bool, tokens: bool) -> None:
    """List the tools: built-in ones, your own, and those of each MCP server."""
    config = with_project_servers(load_config(options.config))
    run(partial(_list, config, as_json, tokens))


@tools.command("call")
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the complete result as one line of JSON."
)
@global_options
@click.pass_obj
def call(options: GlobalOptions, name: str, arguments: tuple[str, ...], as_json: bool) -> None:
    """Call the tool NAME with ARGUMENTS and print its result.

    ARGUMENTS are one JSON object, or a KEY=VALUE pair for each argument. If the tool fails, the
    exit code is 1 and the error goes to stderr.

    \b
    kronk-agent tools call web_fetch '{"url": "https://example.com"}'
    kronk-agent tools call web_fetch url=https://example.com
    """
    config = with_project_servers(load_config(options.config))
    run(partial(_call, _with_servers_for(config, name), name, arguments, as_json, options.debug))


async def _list(config: Config, as_json: bool, with_tokens: bool, _: Interrupts) -> int:
    async with Runtime.open(config) as runtime:
        await wait_for_servers(runtime, Terminal())
        found = [(toolset.name, tool) for toolset in runtime.toolsets for tool in toolset.tools()]
        counted = await _counted(runtime) if with_tokens and found else None
        if as_json:
            tools = [_described(owner, tool, counted) for owner, tool in found]
            click.echo(json.dumps(tools, indent=2))
        elif counted is not None:
            click.echo("\n".join(_token_table(runtime.toolsets, counted)))
        elif found:
            click.echo("\n".join(tool_table(runtime.toolsets)))
        has_failed = any(server.state == "failed" for server in runtime.servers)
    return 1 if has_failed and not found else 0


async def _counted(runtime: Runtime) -> _Counted:
    agent = await runtime.agent()
    known, _ = collect_tools(runtime.toolsets, policy=agent.options.effective_rules)
    costs = await count_tool_tokens(agent.model, [*known.values()], agent.options)
    return _Counted(costs, agent.model.info)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Prompt tokens of the tools, counted with one model."""

    costs: ToolCosts
    model: ModelInfo


def _described(toolset: str, tool: Tool, counted: _Counted | None) -> JsonObject:
    described: JsonObject = {
        "name": tool.name,
        "toolset": toolset,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    if counted is not None:
        described["tokens"] = counted.costs.by_tool.get(tool.name, 0)
    return described


async def _call(
    config: Config,
    name: str,
    arguments: tuple[str, ...],
    as_json: bool,
    debug: bool,
    _: Interrupts,
) -> int:
    terminal = Terminal()
    async with Runtime.open(config) as runtime:
        await wait_for_servers(runtime, terminal)
        tool = _find(name, runtime.toolsets)
        call = ToolCall("call_1", name, arguments_as_json(arguments, tool.parameters))
        with nullcontext() if debug else _failures_unlogged():
            finished = await _execute(call, tool, config.agent.tool_timeout_seconds, terminal)
    if as_json:
        JsonRenderer(sys.stdout).render(finished)
    elif finished.result.is_error:
        terminal.say(f"error: {finished.result.text}", style="red")
    else:
        _print(finished.result, terminal)
    return 1 if finished.result.is_error else 0


def _with_servers_for(config: Config, tool: str) -> Config:
    """Keep only the MCP server that the tool belongs to, so that others are not started.

    If the name does not tell, all servers are kept, so that similar names can be suggested.
    """
    is_own = any(entry.rpartition(":")[2] == tool for entry in config.tools)
    owners = [
        name
        for name, server in config.mcp_servers.items()
        if tool.startswith(f"{server_prefix(server.prefix or name)}__")
    ]
    if not owners and not is_own:
        return config
    servers = {name: config.mcp_servers[name] for name in owners}
    return config.model_copy(update={"mcp_servers": servers})


@contextmanager
def _failures_unlogged() -> Iterator[None]:
    """Suppress the agent's log inside the block: the result already reports the failure."""
    log = logging.getLogger("kronk_agent.agent")
    previous = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(previous)


def _find(name: str, toolsets: Sequence[Toolset]) -> Tool:
    known, _ = collect_tools(toolsets)
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(name, known)
    hint = (
        f"did you mean {' or '.join(nearest)}?"
        if nearest
        else "`kronk-agent tools list` lists them"
    )
    raise click.UsageError(f"unknown tool {name!r}: {hint}")


async def _execute(
    call: ToolCall, tool: Tool, timeout_seconds: float, terminal: Terminal
) -> ToolFinished:
    """Call the tool as the agent does: with checked arguments and a timeout."""
    send, receive = anyio.create_memory_object_stream[Event](16)
    executor = ToolExecutor(timeout_seconds=timeout_seconds, events=send)
    finished: ToolFinished | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_show_progress, receive, terminal)
        started = time.perf_counter()
        with send:
            execution = await executor.execute(call, {tool.name: tool})
        finished = ToolFinished(execution.result, time.perf_counter() - started)
    assert finished is not None
    return finished


async def _show_progress(events: MemoryObjectReceiveStream[Event], terminal: Terminal) -> None:
    with events:
        async for event in events:
            if isinstance(event, ToolProgress):
                terminal.status(progress_text(event))
    terminal.close()


def _print(result: ToolResult, terminal: Terminal) -> None:
    """Print text to stdout, and a notice about each part that is not text."""
    if result.text:
        terminal.answer(result.text)
        terminal.end_answer()
    for part in result.content:
        if not isinstance(part, TextPart):
            terminal.say(f"notice: {part.media_type}, {len(part.data):,} bytes, cannot be printed")


def _token_table(toolsets: Sequence[Toolset], counted: _Counted) -> list[str]:
    """Format a line per tool, most tokens first, followed by the total."""
    costs, model = counted.costs, counted.model
    owners = {tool.name: toolset.name for toolset in toolsets for tool in toolset.tools()}
    by_cost = sorted(costs.by_tool.items(), key=lambda item: -item[1])
    rows = [(name, owners[name], f"{tokens:,}") for name, tokens in by_cost]
    rows.append(("(shared by all)", "", f"{costs.shared:,}"))
    rows.append(("total", "", f"{costs.total:,}"))
    lines = _aligned([("NAME", "TOOLSET", "TOKENS"), *rows])
    return [*lines, f"Context length of {model.id}: {model.context_length:,} tokens"]


def tool_table(toolsets: Sequence[Toolset]) -> list[str]:
    """Format a line per tool: its name, its toolset and the first line of its description."""
    rows = [("NAME", "TOOLSET", "DESCRIPTION")]
    for toolset in toolsets:
        for tool in toolset.tools():
            first_line = next(iter(tool.description.strip().splitlines()), "")
            rows.append((tool.name, toolset.name, printable(first_line)))
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Format rows as lines, with the first two columns padded to a common width."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{one:<{widths[0]}}  {two:<{widths[1]}}  {three}" for one, two, three in rows]
