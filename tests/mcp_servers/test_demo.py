from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from limits import seconds
from mcp import Client
from mcp.types import TextContent

from kronk_mcp_servers.demo import server


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_its_tools_always_answer_the_same(mode: str) -> None:
    reports: list[tuple[float, float | None, str | None]] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total, message))

    async with Client(server, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        added = await client.call_tool("add", {"a": 2, "b": -5})
        weather = await client.call_tool("weather", {"city": "Reykjavik"})
        echoed = await client.call_tool("echo", {"text": "größer"})
        counted = await client.call_tool("countdown", {"start": 2}, progress_callback=watch)

    assert names == ["add", "echo", "weather", "countdown", "fail"]
    assert added.structured_content == {"result": -3}
    assert weather.structured_content == {"temperature_celsius": 3, "sky": "rain"}
    assert echoed.content == [TextContent(text="größer")]
    assert counted.content == [TextContent(text="liftoff")]
    assert reports == [(1, 2, "1 left"), (2, 2, "0 left")]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("fail", {"reason": "as asked"}, "as asked"),
        ("weather", {"city": "Atlantis"}, "'Berlin', 'Nairobi', 'Reykjavik' or 'Singapore'"),
        ("countdown", {"start": 0}, "greater than or equal to 1"),
    ],
)
async def test_what_cannot_be_done_is_an_error(
    tool: str, arguments: dict[str, object], said: str
) -> None:
    async with Client(server) as client:
        result = await client.call_tool(tool, arguments)

    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert said in content.text


def test_its_help_says_how_to_start_it() -> None:
    command = [sys.executable, "-m", "kronk_mcp_servers.demo", "--help"]

    run = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "--http PORT" in run.stdout


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "kronk_mcp_servers.demo", "--http", str(port)],
            capture_output=True,
            encoding="utf-8",
            timeout=seconds(30),
            check=False,
        )

    assert done.returncode == 2
    assert f"port {port}: Address already in use; choose another port" in done.stderr
