"""Registered servers start, and their tools are there."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from host.support import (
    call,
    faulty,
    hosting,
    modern,
    running,
    started,
    states,
    tools,
    until,
)
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import ServerStatus
from kronk_agent.messages import JsonObject, TextPart
from kronk_agent.tools import ToolOutput

PONG = ToolOutput((TextPart("pong"),))


async def test_a_host_without_servers_is_settled_and_empty(tmp_path: Path) -> None:
    async with hosting({}, tmp_path) as host:
        await host.wait_ready()

        assert (tools(host), host.statuses()) == ({}, ())


async def test_entering_returns_before_any_server_has_started(tmp_path: Path) -> None:
    servers = {"ok": faulty("healthy"), "off": faulty("healthy", disabled=True)}

    with anyio.fail_after(seconds(10)):
        async with hosting(servers, tmp_path) as host:
            assert states(host) == {"ok": "starting", "off": "disabled"}
            assert tools(host) == {}

            await host.wait_ready()

            assert host.statuses() == (
                ServerStatus("ok", "ready", 1),
                ServerStatus("off", "disabled", 0),
            )
            assert [toolset.name for toolset in host.toolsets] == ["ok", "off", "resources"]


async def test_bad_servers_neither_delay_nor_disturb_the_good_one(tmp_path: Path) -> None:
    servers = {
        "silent": faulty("silent", startup_timeout=seconds(30)),
        "exits": faulty("exits"),
        "missing": McpServerConfig(command="no-such-program"),
        "refused": McpServerConfig(url="http://127.0.0.1:9/mcp"),
        "noisy": faulty("noisy"),
        "good": faulty("healthy"),
    }

    with anyio.fail_after(seconds(10)):
        async with hosting(servers, tmp_path) as host:
            await until(lambda: list(states(host).values()).count("starting") == 1)

            assert states(host) == {
                "silent": "starting",
                "exits": "failed",
                "missing": "failed",
                "refused": "failed",
                "noisy": "ready",
                "good": "ready",
            }
            assert await call(host, "good__ping") == PONG
            assert await call(host, "noisy__ping") == PONG


@pytest.mark.parametrize("fault", ["exits_when_asked", "healthy"])
async def test_an_old_server_is_found_out(tmp_path: Path, fault: str) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"old": faulty(fault)}, tmp_path) as host:
            await host.wait_ready()

            assert await call(host, "old__ping") == PONG


async def test_legacy_does_not_ask_a_server_that_would_not_answer(tmp_path: Path) -> None:
    mark = tmp_path / "asked"
    env = {"MARK": str(mark)}
    servers = {"old": faulty("ignores_the_question", protocol="legacy", env=env)}

    with anyio.fail_after(seconds(5)):
        async with hosting(servers, tmp_path) as host:
            await host.wait_ready()

            assert await call(host, "old__ping") == PONG
            assert not mark.exists()


async def test_a_deaf_server_is_given_up_in_time_and_killed_in_the_end(
    tmp_path: Path, pids: Path
) -> None:
    deaf = faulty("deaf", startup_timeout=seconds(0.5), env={"PIDS": str(pids)})

    with anyio.fail_after(seconds(8)):
        async with hosting({"deaf": deaf}, tmp_path) as host:
            await host.wait_ready()
            assert states(host) == {"deaf": "failed"}
            assert len(running(pids)) == 1  # nobody waited until it was killed

    assert (len(started(pids)), running(pids)) == (1, [])


async def test_the_program_gets_a_small_environment_and_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_API_KEY", "secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    servers = {"env": faulty("environment", env={"GIVEN": "1"}, cwd=str(folder))}

    with anyio.fail_after(seconds(10)):
        async with hosting(servers, tmp_path) as host:
            await host.wait_ready()
            (part,) = (await call(host, "env__ping")).content

    assert isinstance(part, TextPart)
    environment = json.loads(part.text)
    assert environment["GIVEN"] == "1"
    assert environment["PWD_NOW"] == str(folder)
    assert "OUR_API_KEY" not in environment


async def test_all_pages_of_tools_are_listed(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"paged": faulty("paged")}, tmp_path) as host:
            await host.wait_ready()

            assert list(tools(host)) == [f"paged__tool{number}" for number in range(5)]


async def test_two_servers_may_have_the_same_tools(tmp_path: Path) -> None:
    servers = {"one": faulty("mortal"), "two": faulty("mortal")}

    with anyio.fail_after(seconds(10)):
        async with hosting(servers, tmp_path) as host:
            await host.wait_ready()

            assert set(tools(host)) == {"one__die", "one__pid", "two__die", "two__pid"}
            assert await call(host, "one__pid") != await call(host, "two__pid")


async def test_a_broken_schema_costs_only_what_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": faulty("broken_schemas")}, tmp_path) as host:
            await host.wait_ready()

            parameters = {name: tool.parameters for name, tool in tools(host).items()}

    child: JsonObject = {"type": "object", "properties": {"child": {"$ref": "#/$defs/root"}}}
    any_a: JsonObject = {"type": "object", "properties": {"a": {}}}
    assert parameters == {
        "x__good": {"type": "object", "properties": {"a": {"type": "integer"}}},
        "x__empty": {"type": "object"},
        "x__none": {"type": "object"},
        "x__nullable": {"type": "object"},
        "x__upper": {"type": "object", "properties": {"a": {"type": "string"}}},
        "x__odd_extras": {"type": "object"},
        "x__unknown_dialect": {"type": "object"},
        "x__null_property": any_a,
        "x__bad_type": any_a,
        "x__dangling": any_a,
        "x__remote": {"type": "object", "allOf": [{}]},
        "x__bad_pattern": {"type": "object", "properties": {"a": {"pattern": r"\p{L}"}}},
        "x__recursive": {**child, "$defs": {"root": child}},
    }
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 6
    assert (
        "MCP server 'x': ignored in the schema of tool remote: allOf.0.$ref: "
        "'http://127.0.0.1:9/s.json' cannot be resolved in this schema"
    ) in warnings


@pytest.mark.parametrize("server", [faulty("grows"), modern()], ids=["2025", "2026"])
async def test_tools_that_come_later_are_listed(tmp_path: Path, server: McpServerConfig) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            assert "x__grown" not in tools(host)

            await call(host, "x__grow")
            await until(lambda: "x__grown" in tools(host))

            assert (await call(host, "x__grown")).is_error is False
