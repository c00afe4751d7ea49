"""How much the MCP host adds to what servers take by themselves. ``make bench-mcp``.

Eight real servers: four from npm, three from PyPI, one of ours. A bare ``mcp.Client`` for each, all
at once in one task group, is what nothing can be much faster than; the SDK is imported before both.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters, stdio_client

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import Host
from kronk_agent.host.session import connection
from kronk_agent.testing import invoke

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "node_modules" / "@modelcontextprotocol"
PYTHON_SERVERS = ROOT / "build" / "mcp-servers"
LONG_LINES = "tests/benchmarks/long_lines.py"
ROUNDS = 3
CALLS = 500

MOST_OVER_SLOWEST = 1.2
MOST_SECONDS_FROM_CACHE = 0.1
MOST_MILLISECONDS_A_CALL = 0.3


def servers(folder: Path) -> dict[str, McpServerConfig]:
    node = shutil.which("node")
    assert node is not None, "node is not on the PATH"
    subprocess.run(["git", "init", "-q", folder / "git"], check=True)

    def npm(name: str, *args: str, **env: str) -> McpServerConfig:
        program = NODE_MODULES / f"server-{name}" / "dist" / "index.js"
        assert program.is_file(), f"{program} is not installed"
        return McpServerConfig(command=node, args=(str(program), *args), env=env)

    def python(module: str, *args: str) -> McpServerConfig:
        env = {"PYTHONPATH": str(PYTHON_SERVERS)}
        return McpServerConfig(command=sys.executable, args=("-m", module, *args), env=env)

    return {
        "everything": npm("everything", "stdio"),
        "filesystem": npm("filesystem", str(folder)),
        "memory": npm("memory", MEMORY_FILE_PATH=str(folder / "memory.jsonl")),
        "thinking": npm("sequential-thinking"),
        "time": python("mcp_server_time", "--local-timezone", "UTC"),
        "git": python("mcp_server_git", "--repository", str(folder / "git")),
        "fetch": python("mcp_server_fetch"),
        "demo": McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo")),
    }


def bare(config: McpServerConfig, log: Path) -> Client:
    assert config.command is not None
    program = StdioServerParameters(
        command=config.command, args=list(config.args), env=dict(config.env)
    )
    return Client(stdio_client(program, errlog=log.open("a")))


async def listed_by_bare_clients(
    configs: Mapping[str, McpServerConfig], folder: Path
) -> dict[str, float]:
    """Seconds until each server's tools are listed, all started at once."""
    took: dict[str, float] = {}
    begin = time.perf_counter()
    is_over = anyio.Event()

    async def start(name: str, config: McpServerConfig) -> None:
        async with bare(config, folder / "bare.log") as client:
            await client.list_tools()
            took[name] = time.perf_counter() - begin
            if len(took) == len(configs):
                is_over.set()
            await is_over.wait()

    async with anyio.create_task_group() as tasks:
        for name, config in configs.items():
            tasks.start_soon(start, name, config)
    return took


async def listed_by_host(open_host: Callable[[], Host]) -> tuple[float, int, float, int]:
    """Seconds and tools at once, and seconds and tools when all servers are ready."""
    begin = time.perf_counter()
    async with open_host() as host:
        num_at_once = _num_tools(host)
        at_once = time.perf_counter() - begin
        await host.wait_ready()
        settled = time.perf_counter() - begin
        assert all(status.state == "ready" for status in host.statuses()), host.statuses()
        return at_once, num_at_once, settled, _num_tools(host)


def _num_tools(host: Host) -> int:
    return sum(status.num_tools for status in host.statuses())


async def milliseconds_a_call(config: McpServerConfig, folder: Path) -> tuple[float, float]:
    """Medians of a bare client and of the host, calling in turns, each a server of its own."""
    times: dict[str, list[float]] = {"bare": [], "host": []}
    hosting = Host({"x": config}, log_dir=folder, cache_dir=folder / "c", pins_dir=folder / "p")
    async with bare(config, folder / "bare.log") as client, hosting as host:
        await host.wait_ready()
        tool = {tool.name: tool for tool in host.toolsets[0].tools()}["x__echo"]
        await client.list_tools()
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "bare": partial(client.call_tool, "echo", {"text": "hello"}),
            "host": partial(invoke, tool, {"text": "hello"}),
        }
        for _ in range(CALLS):
            for name, call in ways.items():
                begin = time.perf_counter()
                await call()
                times[name].append((time.perf_counter() - begin) * 1000)
    return statistics.median(times["bare"]), statistics.median(times["host"])


async def beside_a_long_line(config: McpServerConfig, folder: Path) -> tuple[float, float]:
    """Seconds that a call with a result of 20 MB takes, and the longest of the calls to another
    server meanwhile, in milliseconds."""
    both = {"long": config, "other": config}
    seconds = slowest = 0.0
    async with Host(both, log_dir=folder, cache_dir=folder / "l", pins_dir=folder / "q") as host:
        await host.wait_ready()
        tools = {tool.name: tool for toolset in host.toolsets for tool in toolset.tools()}

        async def keep_calling() -> None:
            nonlocal slowest
            while True:
                begin = time.perf_counter()
                await invoke(tools["other__text"], {"size": 1})
                slowest = max(slowest, time.perf_counter() - begin)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_calling)
            begin = time.perf_counter()
            await invoke(tools["long__text"], {"size": 20_000_000})
            seconds = time.perf_counter() - begin
            tasks.cancel_scope.cancel()
    return seconds, slowest * 1000


async def main() -> None:
    folder = Path(tempfile.mkdtemp())
    configs = servers(folder)
    assert connection  # imported, as the SDK is for the bare clients
    ratios: list[float] = []
    cached: list[float] = []
    for number in range(ROUNDS):
        cache = folder / f"cache{number}"
        open_host = partial(
            Host, configs, log_dir=folder, cache_dir=cache, pins_dir=folder / f"pins{number}"
        )
        took = await listed_by_bare_clients(configs, folder)
        slowest = max(took, key=took.__getitem__)
        _, _, settled, num_tools = await listed_by_host(open_host)
        at_once, num_at_once, _, _ = await listed_by_host(open_host)
        assert num_at_once == num_tools, "the cache does not have all of them"
        ratios.append(settled / took[slowest])
        cached.append(at_once)
        print(
            f"{num_tools} tools of {len(configs)} servers: bare clients {took[slowest]:.2f} s "
            f"(slowest: {slowest}), host {settled:.2f} s ({ratios[-1]:.2f} x), "
            f"from the cache {at_once * 1000:.0f} ms"
        )
    alone = [
        max((await listed_by_bare_clients({name: config}, folder)).values())
        for name, config in configs.items()
    ]
    print(f"each server alone: {min(alone):.2f} to {max(alone):.2f} s, {sum(alone):.2f} s together")
    bare_call, host_call = await milliseconds_a_call(configs["demo"], folder)
    print(
        f"a call, median of {CALLS}: bare client {bare_call:.2f} ms, host {host_call:.2f} ms, "
        f"{host_call - bare_call:.2f} ms more"
    )
    seconds, milliseconds = await beside_a_long_line(
        McpServerConfig(command=sys.executable, args=(str(ROOT / LONG_LINES),)), folder
    )
    print(
        f"a result of 20 MB in one line: {seconds:.2f} s; the slowest call to another server "
        f"meanwhile: {milliseconds:.1f} ms"
    )
    holds = [
        min(ratios) <= MOST_OVER_SLOWEST,
        min(cached) <= MOST_SECONDS_FROM_CACHE,
        host_call - bare_call <= MOST_MILLISECONDS_A_CALL,
    ]
    sys.exit(0 if all(holds) else "a bound was missed")


if __name__ == "__main__":
    anyio.run(main)
