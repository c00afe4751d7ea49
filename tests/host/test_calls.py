"""Calls to servers: what they bring back, and how they end."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from host.support import (
    Watcher,
    call,
    demo,
    faulty,
    hosting,
    modern,
    tools,
)
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError
from kronk_agent.host import Host
from kronk_agent.messages import TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import ToolContext, ToolOutput


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_calls_bring_back_everything(
    tmp_path: Path, transport: str, protocol: str, demo_url: str
) -> None:
    server = demo() if transport == "stdio" else McpServerConfig(url=demo_url)
    server = server.model_copy(update={"protocol": protocol})
    watcher = Watcher()

    with anyio.fail_after(seconds(15)):
        async with hosting({"demo": server}, tmp_path) as host:
            await host.wait_ready()
            countdown = tools(host)["demo__countdown"]
            results = [
                await call(host, "demo__add", {"a": 2, "b": 3}),
                await call(host, "demo__fail", {"reason": "as asked"}),
                await invoke(countdown, {"start": 2}, ToolContext(report_progress=watcher)),
            ]

    assert results == [
        ToolOutput((TextPart("5"),), structured={"result": 5}),
        ToolOutput((TextPart("Error executing tool fail: as asked"),), is_error=True),
        ToolOutput((TextPart("liftoff"),)),
    ]
    assert watcher.reports == [(1, 2, "1 left"), (2, 2, "0 left")]


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_cancelling_a_call_cancels_it_on_the_server(
    tmp_path: Path, transport: str, protocol: str, modern_url: str
) -> None:
    server = modern() if transport == "stdio" else McpServerConfig(url=modern_url)
    server = server.model_copy(update={"protocol": protocol})
    watcher = Watcher()

    async def hang(host: Host) -> None:
        context = ToolContext(report_progress=watcher)
        await invoke(tools(host)["x__hang"], {"key": protocol}, context)

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hang, host)
                await watcher.first.wait()
                tasks.cancel_scope.cancel()
            (part,) = (await call(host, "x__wait_for_cancel", {"key": protocol})).content

    assert part == TextPart("cancelled")


@pytest.mark.parametrize("type", ["sse", None], ids=["said", "found out"])
async def test_a_server_of_before_2025_is_reached(
    tmp_path: Path, type: str | None, sse_url: str
) -> None:
    """Its address says nothing, so streamable HTTP is tried first, and turned away."""
    watcher = Watcher()
    server = McpServerConfig.model_validate({"url": sse_url, "type": type})

    async def hang(host: Host) -> None:
        context = ToolContext(report_progress=watcher)
        await invoke(tools(host)["x__hang"], {"key": str(type)}, context)

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hang, host)
                await watcher.first.wait()
                tasks.cancel_scope.cancel()
            (part,) = (await call(host, "x__wait_for_cancel", {"key": str(type)})).content

    assert part == TextPart("cancelled")


async def test_a_big_result_comes_through_http(tmp_path: Path, demo_url: str) -> None:
    big = "x" * 2_000_000

    with anyio.fail_after(seconds(10)):
        server = McpServerConfig(url=demo_url, max_output_tokens=None)
        async with hosting({"demo": server}, tmp_path) as host:
            await host.wait_ready()

            assert await call(host, "demo__echo", {"text": big}) == ToolOutput((TextPart(big),))


async def test_a_call_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": modern(timeout=1)}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError) as caught:
                await call(host, "x__hang")
            await call(host, "x__wait_for_cancel")

    assert str(caught.value) == (
        "MCP server 'x' gave no answer and no progress within 1 s: "
        "ask for less, or raise mcp_servers.x.timeout"
    )


async def test_progress_gives_a_call_more_time(tmp_path: Path) -> None:
    """Ten steps of 0.25 s are more than 2 s, and no step is."""
    with anyio.fail_after(seconds(10)):
        async with hosting({"demo": demo(timeout=2)}, tmp_path) as host:
            await host.wait_ready()

            output = await call(host, "demo__countdown", {"start": 10, "seconds_between": 0.25})

    assert output == ToolOutput((TextPart("liftoff"),))


@pytest.mark.parametrize(
    ("tool", "how", "output"),
    [
        (
            "x__ping",
            "unknown content",
            ToolOutput((TextPart("[content of the unknown kind 'video', not shown]"),)),
        ),
        (
            "x__ping",
            "no base64",
            ToolOutput((TextPart("[image/png, not shown: its data is not base64]"),)),
        ),
        ("x__typed", "breaks its schema", ToolOutput((TextPart('{"sum": "three"}'),))),
    ],
)
async def test_a_broken_part_of_a_result_is_named(
    tmp_path: Path, tool: str, how: str, output: ToolOutput
) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("refuses")}, tmp_path) as host:
            await host.wait_ready()

            assert await call(host, tool, {"how": how}) == output


async def test_a_server_that_dies_of_a_call_is_said_to_be_gone(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("refuses")}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError) as caught:
                await call(host, "x__ping", {"how": "unheard of"})

    words = "MCP server 'x' went away during the call and is being started again: "
    assert str(caught.value).startswith(words)


async def test_a_refused_call_says_why(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("grows")}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError) as caught:
                await call(host, "x__grow", {"refuse": "the moon is wrong"})

    assert str(caught.value) == "MCP server 'x' refused the call: the moon is wrong"
