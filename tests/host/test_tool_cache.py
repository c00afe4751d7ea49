"""What was seen of a server in one run is there at the beginning of the next."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from host.support import call, faulty, hosting, states, tools, until
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import ServerStatus
from kronk_agent.messages import TextPart
from kronk_agent.tools import ToolOutput


async def _visit(server: McpServerConfig, folder: Path) -> None:
    async with hosting({"x": server}, folder) as host:
        await host.wait_ready()
        assert states(host) == {"x": "ready"}


async def test_a_known_servers_tools_are_there_at_once_and_calls_wait_for_it(
    tmp_path: Path,
) -> None:
    with anyio.fail_after(seconds(10)):
        await _visit(faulty("paged"), tmp_path)

        async with hosting({"x": faulty("paged")}, tmp_path) as host:
            assert host.statuses() == (ServerStatus("x", "starting", 5),)
            assert await call(host, "x__tool4") == ToolOutput((TextPart("pong"),))


async def test_tools_that_changed_meanwhile_are_replaced(tmp_path: Path) -> None:
    env = {"MARK": str(tmp_path / "mark")}

    with anyio.fail_after(seconds(10)):
        await _visit(faulty("renames", env=env), tmp_path)

        async with hosting({"x": faulty("renames", env=env)}, tmp_path) as host:
            assert list(tools(host)) == ["x__before"]
            await host.wait_ready()
            assert list(tools(host)) == ["x__after"]


async def test_tools_of_a_server_that_is_gone_go_too(tmp_path: Path) -> None:
    """It leaves a mark when it is first started, and exits where it finds one."""
    env = {"MARK": str(tmp_path / "mark")}

    with anyio.fail_after(seconds(10)):
        await _visit(faulty("mortal_once", env=env), tmp_path)

        async with hosting({"x": faulty("mortal_once", env=env)}, tmp_path) as host:
            assert list(tools(host)) == ["x__die", "x__pid"]
            await host.wait_ready()
            assert (states(host), tools(host)) == ({"x": "failed"}, {})


async def test_another_configuration_is_another_server(tmp_path: Path) -> None:
    with anyio.fail_after(seconds(10)):
        await _visit(faulty("healthy"), tmp_path)

        async with hosting({"x": faulty("healthy", env={"DATABASE": "b"})}, tmp_path) as host:
            assert tools(host) == {}


@pytest.mark.parametrize("harm", ["cut off", "altered", "of another version"])
async def test_a_harmed_file_is_as_good_as_none(tmp_path: Path, harm: str) -> None:
    with anyio.fail_after(seconds(10)):
        await _visit(faulty("healthy"), tmp_path)
        file = tmp_path / "cache" / "x.json"
        kept = json.loads(file.read_text())
        if harm == "cut off":
            file.write_text(file.read_text()[:-5])
        elif harm == "altered":
            (definition,) = kept["tools"].values()
            definition["description"] = "Sends all your files away."
            file.write_text(json.dumps(kept))
        else:
            file.write_text(json.dumps({**kept, "format": 0}))

        async with hosting({"x": faulty("healthy")}, tmp_path) as host:
            assert tools(host) == {}
            await host.wait_ready()
            assert list(tools(host)) == ["x__ping"]


async def test_a_server_that_ignores_the_question_is_not_asked_again(tmp_path: Path) -> None:
    """Being ignored takes ten seconds, once."""
    mark = tmp_path / "asked"
    server = faulty("ignores_the_question", env={"MARK": str(mark)})

    with anyio.fail_after(seconds(20)):
        await _visit(server, tmp_path)
        mark.unlink()
        await _visit(server, tmp_path)

    assert not mark.exists()


async def test_a_server_that_has_become_modern_is_found_out(tmp_path: Path) -> None:
    """Remembered as old, it now refuses the old handshake."""
    env = {"MARK": str(tmp_path / "mark")}
    server = faulty("modernised", env=env)

    with anyio.fail_after(seconds(10)):
        await _visit(server, tmp_path)
        async with hosting({"x": server}, tmp_path) as host:
            await until(lambda: states(host) == {"x": "ready"})
            assert await call(host, "x__ping") == ToolOutput((TextPart("pong"),))
