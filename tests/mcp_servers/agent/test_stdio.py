"""``kronk-agent mcp serve``: the program, as a client starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from limits import seconds
from mcp import Client, StdioServerParameters
from mcp_servers.agent.support import DEMO

from kronk_agent.host.session.tasks import TasksExtension

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

NOISY = """
import os
import subprocess

def shout() -> str:
    "Make all the noise there can be on stdout."
    print("from Python")
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a program"])
    return subprocess.run(["cat"], capture_output=True, text=True).stdout or "quiet"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "noisy.py").write_text(NOISY)
    path = tmp_path / "kronk.yaml"
    settings = {
        "tools": ["./noisy.py:shout"],
        "sessions": {"url": "sqlite://"},
        "agent": {"max_tokens": 16},
        "mcp_servers": {"demo": DEMO},
        "serve_mcp": {"expose": ["ask_agent", "shout", "demo__*"]},
    }
    path.write_text(json.dumps(settings))
    return path


def command(config: Path) -> list[str]:
    return ["-m", "kronk_agent", "--config", str(config), "mcp", "serve"]


def expect_model(config: Path, model: Path) -> None:
    """Make this file, which need not be there yet, the model of the configuration."""
    settings = json.loads(config.read_text()) | {"model": str(model)}
    config.write_text(json.dumps(settings))


@contextmanager
def started(config: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        yield process


def exchange(process: subprocess.Popen[str], *messages: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.writelines(json.dumps(message) + "\n" for message in messages)
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def test_stdout_has_nothing_but_the_protocol_whatever_tools_print(config: Path) -> None:
    shout = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "shout", "arguments": {}},
    }
    with started(config) as process:
        exchange(process, INITIALIZE)
        answer = exchange(process, INITIALIZED, shout)
        rest, noise = process.communicate()

    assert answer["result"]["content"] == [{"type": "text", "text": "quiet"}]
    assert [json.loads(line)["method"] for line in rest.splitlines()] in (
        [],
        ["notifications/tools/list_changed"],
    )
    assert {"from Python", "from C", "from a program"} <= set(noise.splitlines())
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ('{"jsonrpc": "2.0", "id": 7, "method":', {"code": -32700}),
        ("Hello!", {"code": -32700}),
        ('{"hello": 7}', {"code": -32600}),
        ('\ufeff{"id": 7, "method": "ping"}', {}),
        ('[{"jsonrpc": "2.0", "id": 7, "method": "ping"}]', {}),
        ('{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": "\\ud83d"}}', {}),
    ],
)
def test_every_line_is_answered_as_far_as_it_can_be_read(
    config: Path, line: str, answer: dict[str, Any]
) -> None:
    with started(config) as process:
        exchange(process, INITIALIZE)
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(INITIALIZED)}\n\n{line}\n")
        said = exchange(process)
        process.communicate()

    if answer:
        assert (said["id"], said["error"]["code"]) == (None, answer["code"])
    else:
        assert (said["id"], said["result"]) == (7, {})


@pytest.mark.e2e
async def test_tools_are_listed_at_once_and_the_model_is_loaded_when_it_is_needed(
    config: Path, starter_model: Path
) -> None:
    model = config.parent / "model.gguf"
    expect_model(config, model)
    server = StdioServerParameters(
        command=sys.executable,
        args=command(config),
        env={"OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"]},
    )
    reports: list[str | None] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        reports.append(message)

    with anyio.fail_after(seconds(50)):
        async with Client(server, extensions=[TasksExtension()]) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            model.symlink_to(starter_model)
            asked = await client.call_tool("ask_agent", {"prompt": "Say hi.", "tools": []})
            while "demo__add" not in names:
                names = [t.name for t in (await client.list_tools(cache_mode="refresh")).tools]
            added = await client.call_tool("demo__add", {"a": 1, "b": 2})

    assert names[0] == "ask_agent"
    assert not asked.is_error
    assert isinstance(asked.structured_content, dict)
    assert asked.structured_content["usage"]["completion_tokens"] > 0
    assert added.structured_content == {"result": 3}


def test_a_mistake_in_what_is_exposed_is_told_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "kronk.yaml"
    path.write_text("serve_mcp: {expose: [ask_agnet]}")

    done = subprocess.run(
        [sys.executable, *command(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds(30),
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "serve_mcp.expose: unknown tool 'ask_agnet'" in done.stderr
