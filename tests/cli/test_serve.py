from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx2
import psutil
import pytest
from limits import seconds
from mcp import Client


@pytest.mark.e2e
def test_serve_says_where_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kronk_agent", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={
            "HOME": str(tmp_path),
            "PATH": "",
            "OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"],
        },
    ) as program:
        assert program.stderr is not None
        url = program.stderr.readline().split()[2].removesuffix(";")
        response = httpx2.post(
            f"{url}/chat/completions",
            json={
                "model": "SmolLM2-135M-Instruct.Q4_1",
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 4,
            },
            timeout=seconds(50),
        )
        by_mcp = program.stderr.readline()
        tools = anyio.run(_tools, by_mcp.split()[-1])
        program.send_signal(signal.SIGTERM)
        exit_code = program.wait(timeout=seconds(10))

    assert tools == ["ask_agent", "web_search", "web_fetch"]
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["completion_tokens"] == 4
    assert exit_code == 143


@pytest.mark.e2e
def test_serve_ends_while_a_grammar_that_never_would_is_compiled(tmp_path: Path) -> None:
    meeting = " & ".join(f"/.*[a-z]{{{i}}}.*x{{{i}}}/" for i in range(1, 26))
    environment = {"HOME": str(tmp_path), "PATH": "", "OMP_WAIT_POLICY": "passive"}
    with (
        subprocess.Popen(
            [sys.executable, "-m", "kronk_agent", "serve", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as program,
        ThreadPoolExecutor() as threads,
    ):
        assert program.stderr is not None
        url = program.stderr.readline().split()[2].removesuffix(";")
        asked = {
            "model": "SmolLM2-135M-Instruct.Q4_1",
            "prompt": "Hello",
            "lark": f"start: A\nA: {meeting}",
        }
        answer = threads.submit(httpx2.post, f"{url}/completions", json=asked, timeout=seconds(50))
        while not psutil.Process(program.pid).children() and not answer.done():
            assert httpx2.get(url.replace("/v1", "/health")).status_code == 200
        program.send_signal(signal.SIGTERM)
        exit_code = program.wait(timeout=seconds(25))

    assert exit_code == 143
    assert answer.exception() is not None or answer.result().status_code >= 400


async def _tools(url: str) -> list[str]:
    async with Client(url) as client:
        return [tool.name for tool in (await client.list_tools()).tools]


def test_an_address_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "kronk_agent", "serve", "--port", port],
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": ""},
            check=False,
        )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert f"server.port: cannot listen on 127.0.0.1:{port}" in done.stderr


def test_a_server_others_can_reach_wants_keys(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kronk_agent", "serve", "--host", "0.0.0.0", "--port", "0"],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": ""},
        check=False,
    )

    assert done.returncode == 2
    assert "kronk-agent keys create NAME" in done.stderr
