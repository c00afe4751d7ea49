"""Servers die, come back, and are ended with their host."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from pathlib import Path

import anyio
import psutil
import pytest
from host.support import (
    call,
    error_of,
    faulty,
    hosting,
    modern,
    running,
    serving,
    started,
    states,
    tools,
    until,
    unused_port,
)
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError
from kronk_agent.host import ServerStatus
from kronk_agent.host.diagnostics.log import MAX_BYTES
from kronk_agent.messages import TextPart
from kronk_agent.testing import invoke


async def test_a_server_that_dies_in_a_call_is_started_again(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("mortal")}, tmp_path) as host:
            await host.wait_ready()
            first = await call(host, "x__pid")
            with pytest.raises(ToolError) as caught:
                await call(host, "x__die")
            second = await call(host, "x__pid")

    assert str(caught.value) == (
        "MCP server 'x' went away during the call and is being started again: "
        "whether the call took effect is unknown"
    )
    assert first != second


async def test_a_server_that_dies_in_a_call_is_quoted(tmp_path: Path) -> None:
    words = "MemoryError: too many rows\n    at main (server.js:1:2)\n"

    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("mortal")}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError) as caught:
                await call(host, "x__die", {"words": words})

    assert str(caught.value).endswith(" is unknown (MemoryError: too many rows)")


async def test_tools_of_a_server_that_is_started_again_stay(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("mortal")}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError):
                await call(host, "x__die")

            assert host.statuses() == (ServerStatus("x", "starting", 2),)
            await host.wait_ready()
            assert host.statuses() == (ServerStatus("x", "ready", 2),)


async def test_a_failed_server_is_tried_again(tmp_path: Path) -> None:
    """It was not there when we started, and then it was."""
    port = unused_port()
    server = McpServerConfig(url=f"http://127.0.0.1:{port}/mcp")

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            assert states(host) == {"x": "failed"}

            with serving(port, *modern().args):
                await until(lambda: states(host) == {"x": "ready"})


async def test_a_server_that_forgot_our_session_is_joined_anew(tmp_path: Path) -> None:
    """It did nothing with the call, so the call is made again, and nobody notices."""
    port = unused_port()
    server = McpServerConfig(url=f"http://127.0.0.1:{port}/mcp", protocol="legacy")

    with anyio.fail_after(seconds(20)), ExitStack() as first:
        first.enter_context(serving(port, *modern().args))
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            first.close()
            with serving(port, *modern().args):
                assert (await call(host, "x__grow")).content == (TextPart("grew"),)


async def test_a_call_to_a_failed_server_says_why(tmp_path: Path) -> None:
    """The model may have been offered the tool a moment ago."""
    with anyio.fail_after(seconds(10)):
        server = faulty("mortal_once", env={"MARK": str(tmp_path / "mark")})
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            die = tools(host)["x__die"]
            with pytest.raises(ToolError):
                await invoke(die)
            with pytest.raises(ToolError) as caught:
                await invoke(die)

            assert str(caught.value) == error_of(host.statuses()[0])
            assert tools(host) == {}


async def test_no_process_is_left_behind(tmp_path: Path, pids: Path) -> None:
    """Healthy, still starting, dying all the time, and a shell's child."""
    env = {"PIDS": str(pids)}
    healthy = faulty("healthy")
    shell = ["-c", '"$@"; true', "sh", str(healthy.command), *healthy.args]
    servers = {
        "healthy": faulty("healthy", env=env),
        "silent": faulty("silent", env=env),
        "exits": faulty("exits", env=env),
        "shell": McpServerConfig(command="sh", args=tuple(shell), env=env),
    }

    with anyio.fail_after(seconds(10)):
        async with hosting(servers, tmp_path) as host:
            await until(lambda: len(started(pids)) >= len(servers))
            await until(lambda: [states(host)[n] for n in ("healthy", "shell")] == ["ready"] * 2)

    assert running(pids) == []


def test_a_host_may_be_made_before_there_is_an_event_loop(tmp_path: Path) -> None:
    host = hosting({"x": faulty("healthy")}, tmp_path)

    async def enter_and_leave() -> None:
        async with host:
            pass

    anyio.run(enter_and_leave)

    assert states(host) == {"x": "failed"}


async def test_cancelling_the_owner_of_a_host_ends_its_servers(tmp_path: Path, pids: Path) -> None:
    server = faulty("healthy", env={"PIDS": str(pids)})

    with anyio.fail_after(seconds(10)), anyio.CancelScope() as scope:
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            scope.cancel()
            await anyio.sleep_forever()

    assert (len(started(pids)), running(pids)) == (1, [])


async def test_an_error_of_the_caller_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with hosting({"x": faulty("healthy")}, tmp_path):
            raise KeyError("mine")


async def test_a_tool_kept_after_the_end_says_that_it_is_over(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("healthy")}, tmp_path) as host:
            await host.wait_ready()
            ping = tools(host)["x__ping"]
        with pytest.raises(ToolError, match="MCP server 'x' was closed"):
            await invoke(ping)


async def test_a_log_that_cannot_be_put_aside_costs_no_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "x.log"
    log.write_text("y" * (MAX_BYTES + 1))
    (tmp_path / "x.log.1").mkdir()

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": faulty("chatty")}, tmp_path) as host:
            await host.wait_ready()
            [state] = states(host).values()

    assert state == "ready"
    assert log.stat().st_size > MAX_BYTES
    assert caplog.text.count(f"cannot rotate the log {log}: Is a directory") == 1


async def test_a_log_that_has_grown_is_put_aside_while_the_server_runs(tmp_path: Path) -> None:
    log, old, older = (tmp_path / f"x.log{suffix}" for suffix in ("", ".1", ".2"))

    with anyio.fail_after(seconds(20)):
        async with hosting({"x": faulty("chatty")}, tmp_path) as host:
            await host.wait_ready()
            for _ in range(3):
                await call(host, "x__ping")
                await until(lambda: log.stat().st_size == 0)

    for file in (old, older):
        assert (file.stat().st_size, file.stat().st_mode & 0o077) == (MAX_BYTES, 0)
        assert file.read_text().endswith("blah\nlast words\n")


async def test_nothing_a_server_writes_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("exits"), "y": faulty("noisy")}, tmp_path) as host:
            await host.wait_ready()

    assert capfd.readouterr() == ("", "")
    assert "no licence" in (tmp_path / "x.log").read_text()
    assert (tmp_path / "x.log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("steps", range(6))
def test_a_host_that_is_left_while_a_server_starts_waits_for_its_process(
    steps: int, tmp_path: Path
) -> None:
    async def leave() -> None:
        others = psutil.Process().children()
        async with hosting({"x": McpServerConfig(command="cat")}, tmp_path):
            while psutil.Process().children() == others:
                await anyio.lowlevel.checkpoint()
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()

    anyio.run(leave)

    # A process nobody waited for warns when it is collected, and a warning fails a test.
    gc.collect()
