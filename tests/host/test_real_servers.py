"""Servers other people wrote."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest
from host.support import Watcher, call, hosting, tools
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import ServerStatus
from kronk_agent.messages import ImagePart, TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import ToolContext, ToolOutput

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


async def test_mcp_server_time_from_pypi(tmp_path: Path) -> None:
    args = ("-m", "mcp_server_time", "--local-timezone", "UTC")
    arguments = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Kolkata"}

    with anyio.fail_after(seconds(20)):
        async with hosting(
            {"time": McpServerConfig(command=sys.executable, args=args)}, tmp_path
        ) as host:
            await host.wait_ready()

            assert list(tools(host)) == ["time__get_current_time", "time__convert_time"]
            converted = await call(host, "time__convert_time", {**arguments})
            assert converted.structured is not None
            assert converted.structured["time_difference"] == "+5.5h"
            refused = await call(host, "time__get_current_time", {"timezone": "Mars/Olympus"})
            assert refused.is_error


async def test_server_everything_from_npm(tmp_path: Path) -> None:
    watcher = Watcher()
    operation = {"duration": 0.2, "steps": 2}

    with anyio.fail_after(seconds(20)):
        async with hosting({"all": _server_everything()}, tmp_path) as host:
            await host.wait_ready()
            assert host.statuses() == (ServerStatus("all", "ready", 13),)

            assert await call(host, "all__echo", {"message": "hi"}) == ToolOutput(
                (TextPart("Echo: hi"),)
            )
            image = await call(host, "all__get-tiny-image")
            assert [type(part) for part in image.content] == [TextPart, ImagePart, TextPart]
            weather = await call(host, "all__get-structured-content", {"location": "New York"})
            assert weather.structured == {
                "temperature": 33,
                "conditions": "Cloudy",
                "humidity": 82,
            }
            await invoke(
                tools(host)["all__trigger-long-running-operation"],
                {**operation},
                ToolContext(report_progress=watcher),
            )
            assert watcher.reports == [(1, 2, None), (2, 2, None)]


def _server_everything() -> McpServerConfig:
    node = shutil.which("node")
    modules = Path(os.environ.get("KRONK_TEST_NODE_MODULES", ROOT / "node_modules"))
    program = modules / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
    if node is None or not program.is_file():
        pytest.skip("needs node, and server-everything in KRONK_TEST_NODE_MODULES")
    return McpServerConfig(command=node, args=(str(program), "stdio"))
