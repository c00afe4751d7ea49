"""``kronk-agent tools``: what the model may call, and calling it by hand. No model is loaded."""

from __future__ import annotations

import difflib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import anyio
import click
from anyio.streams.memory import MemoryObjectReceiveStream

from kronk_agent.agent.tool_executor import ToolExecutor, collect_tools
from kronk_agent.cli.call_arguments import arguments_as_json
from kronk_agent.cli.loop import Interrupts, run
from kronk_agent.cli.options import GlobalOptions, global_options
from kronk_agent.cli.printable import printable
from kronk_agent.cli.project import with_project_servers
from kronk_agent.cli.rendering import JsonRenderer, progress_text
from kronk_agent.cli.servers import wait_for_servers
from kronk_agent.cli.terminal import Terminal
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema import Config
from kronk_agent.messages import (
    Event,
    JsonObject,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolProgress,
    ToolResult,
)
from kronk_agent.runtime import Runtime
from kronk_agent.tool import Tool, Toolset


@click.group()
def tools() -> None:
    """List the tools, or call one. No model is loaded."""


@tools.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, with the schemas.")
@global_options
@click.pass_obj
def list_(options: GlobalOptions, as_json: bool) -> None:
    """List the tools: the built-in ones, your own, and each MCP server's."""
    config = with_project_servers(load_config(options.config))
    run(partial(_list, config, as_json))


@tools.command("call")
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as a line of JSON.")
@global_options
@click.pass_obj
def call(options: GlobalOptions, name: str, arguments: tuple[str, ...], as_json: bool) -> None:
    """Call the tool NAME with ARGUMENTS, and print its result.

    ARGUMENTS are a JSON object, or KEY=VALUE for each. The exit code is 1 if the tool fails; what
    it says about that goes to stderr.

    \b
    kronk-agent tools call web_fetch '{"url": "https://example.com"}'
    kronk-agent tools call web_fetch url=https://example.com
    """
    config = with_project_servers(load_config(options.config))
    run(partial(_call, config, name, arguments, as_json, options.debug))


async def _list(config: Config, as_json: bool, _: Interrupts) -> int:
    async with Runtime.open(config) as runtime:
        await wait_for_servers(runtime, Terminal())
        found = [(toolset.name, tool) for toolset in runtime.toolsets for tool in toolset.tools()]
        if as_json:
            click.echo(json.dumps([_described(owner, tool) for owner, tool in found], indent=2))
        elif found:
            click.echo("\n".join(tool_table(runtime.toolsets)))
        has_failed = any(server.state == "failed" for server in runtime.servers)
    return 1 if has_failed and not found else 0


def _described(toolset: str, tool: Tool) -> JsonObject:
    return {
        "name": tool.name,
        "toolset": toolset,
        "description": tool.description,
        "parameters": tool.parameters,
    }


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
            finished = await _make(call, tool, config.agent.tool_timeout_seconds, terminal)
    if as_json:
        JsonRenderer(sys.stdout).render(finished)
    elif finished.result.is_error:
        terminal.say(f"error: {finished.result.text}", style="red")
    else:
        _print(finished.result, terminal)
    return 1 if finished.result.is_error else 0


@contextmanager
def _failures_unlogged() -> Iterator[None]:
    """The result says what failed; the log would say it again."""
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
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`tools list` shows all"
    raise click.UsageError(f"there is no tool {name!r}: {hint}")


async def _make(
    call: ToolCall, tool: Tool, timeout_seconds: float, terminal: Terminal
) -> ToolFinished:
    """Call the tool just as the agent does: arguments checked, time limited."""
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
    """The text to stdout; what is no text can only be told of."""
    if result.text:
        terminal.answer(result.text)
        terminal.end_answer()
    for part in result.content:
        if not isinstance(part, TextPart):
            terminal.say(f"notice: {part.media_type}, {len(part.data):,} bytes, is not printed")


def tool_table(toolsets: Sequence[Toolset]) -> list[str]:
    """A line for each tool: its name, its toolset, and how its description begins."""
    rows = [("NAME", "TOOLSET", "DESCRIPTION")]
    for toolset in toolsets:
        for tool in toolset.tools():
            first_line = next(iter(tool.description.strip().splitlines()), "")
            rows.append((tool.name, toolset.name, printable(first_line)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{name:<{widths[0]}}  {owner:<{widths[1]}}  {text}" for name, owner, text in rows]
