"""Calls that a server carries on as tasks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from host.support import (
    SERVERS,
    Watcher,
    call,
    hosting,
    serving,
    text_of,
    tools,
    until,
    unused_port,
)
from host.test_requests import Decided
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError
from kronk_agent.host import FormAnswer, FormElicitation
from kronk_agent.messages import TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import ToolContext, ToolOutput

TASKING = str(SERVERS / "tasking.py")


@pytest.fixture(scope="module")
def tasking_url() -> Iterator[str]:
    port = unused_port()
    with serving(port, TASKING):
        yield f"http://127.0.0.1:{port}/mcp"


def _over_http(url: str, **more: object) -> McpServerConfig:
    return McpServerConfig.model_validate({"url": url, **more})


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_task_is_followed_to_its_result(
    tmp_path: Path, transport: str, tasking_url: str
) -> None:

    stdio = McpServerConfig(command=sys.executable, args=(TASKING,))
    watcher = Watcher()

    with anyio.fail_after(seconds(10)):
        server = stdio if transport == "stdio" else _over_http(tasking_url)
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            output = await invoke(tools(host)["x__quick"], {}, ToolContext(report_progress=watcher))

    assert output == ToolOutput((TextPart("done"),))
    assert watcher.reports == [(1, None, "half done"), (2, None, "completed")]


async def test_a_task_may_ask_the_person_once(tmp_path: Path, tasking_url: str) -> None:
    person = Decided(FormAnswer("accept", {"which": "this"}))

    with anyio.fail_after(seconds(10)):
        async with hosting({"x": _over_http(tasking_url)}, tmp_path, person=person) as host:
            await host.wait_ready()
            assert text_of(await call(host, "x__asks")) == "so this"

    assert [form.message for form in person.asked if isinstance(form, FormElicitation)] == [
        "Which?"
    ]


async def test_a_task_that_ends_badly_says_why(tmp_path: Path, tasking_url: str) -> None:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": _over_http(tasking_url)}, tmp_path) as host:
            await host.wait_ready()
            with pytest.raises(ToolError, match="MCP server 'x' refused the call: out of luck"):
                await call(host, "x__fails")
            assert await call(host, "x__cancels_itself") == ToolOutput(
                (TextPart("no time left"),), is_error=True
            )


async def test_a_task_outlives_the_timeout_and_is_cancelled_with_its_call(
    tmp_path: Path, tasking_url: str
) -> None:
    """As long as the server answers for it, it is at work."""
    watcher = Watcher()
    server = _over_http(tasking_url, timeout=1)

    async def slow() -> None:
        await invoke(tools(host)["x__slow"], {}, ToolContext(report_progress=watcher))

    with anyio.fail_after(seconds(10)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            async with anyio.create_task_group() as calls:
                calls.start_soon(slow)
                await until(lambda: len(watcher.reports) > 30)  # one every 0.05 s
                calls.cancel_scope.cancel()
            assert text_of(await call(host, "x__was_cancelled")) == "slow"
