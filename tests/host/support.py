from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import Host, ServerState, ServerStatus
from kronk_agent.messages import JsonObject, TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import Tool, ToolOutput

SERVERS = Path(__file__).parent / "servers"


def hosting(servers: Mapping[str, McpServerConfig], folder: Path, **more: Any) -> Host:
    """A host that leaves its logs in the folder, and what it remembers in others below."""
    return Host(
        servers, log_dir=folder, cache_dir=folder / "cache", pins_dir=folder / "pins", **more
    )


def faulty(fault: str, **more: object) -> McpServerConfig:
    """The server with that fault; ``more`` are other keys of its configuration."""
    return _python(str(SERVERS / "faulty.py"), fault, **more)


def careless(line: str, prefix: str = "") -> McpServerConfig:
    """A server that answers calls with this line."""
    return _python(str(SERVERS / "careless.py"), line, prefix, protocol="legacy")


def modern(**more: object) -> McpServerConfig:
    return _python(str(SERVERS / "modern.py"), **more)


def asking(**more: object) -> McpServerConfig:
    return _python(str(SERVERS / "asking.py"), **more)


def demo(**more: object) -> McpServerConfig:
    return _python("-m", "kronk_mcp_servers.demo", **more)


def _python(*args: str, **more: object) -> McpServerConfig:
    return McpServerConfig.model_validate({"command": sys.executable, "args": args, **more})


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(port: int, *args: str) -> Iterator[None]:
    """A server over HTTP in a process of its own, which takes the port as its last argument."""
    process = subprocess.Popen([sys.executable, *args, str(port)])
    try:
        while not _is_open(port):
            assert process.poll() is None, "the server ended at once"
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tools(host: Host) -> dict[str, Tool]:
    """Every tool there is right now, by name."""
    return {tool.name: tool for toolset in host.toolsets for tool in toolset.tools()}


def states(host: Host) -> dict[str, ServerState]:
    return {status.name: status.state for status in host.statuses()}


def error_of(status: ServerStatus) -> str:
    assert status.state == "failed"
    assert status.error is not None
    assert "\n" not in status.error
    return status.error


@dataclass
class Watcher:
    """Who a call reports to: keeps the reports, and lets a test wait for the first."""

    reports: list[tuple[float, float | None, str | None]] = field(default_factory=list)
    first: anyio.Event = field(default_factory=anyio.Event)

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        self.reports.append((progress, total, message))
        self.first.set()


def text_of(output: ToolOutput) -> str:
    (part,) = output.content
    assert isinstance(part, TextPart)
    return part.text


async def call(host: Host, name: str, arguments: JsonObject | None = None) -> ToolOutput:
    return await invoke(tools(host)[name], arguments)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nothing announces."""
    while not condition():  # noqa: ASYNC110  # nothing to wait on, that is the point
        await anyio.sleep(0.01)


def started(pids: Path) -> list[int]:
    """The ids that servers wrote into the directory of their PIDS variable."""
    return [int(file.name) for file in pids.iterdir()]


def running(pids: Path) -> list[int]:
    """Those of them that are still there."""
    return [pid for pid in started(pids) if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
