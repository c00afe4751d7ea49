"""A server under load: it ends when it is told to, answers others, and shows no secret."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import psutil
import pytest
from api.support import running
from attack.support import serving
from limits import seconds

from kronk_agent import Config

DOOR = "a server under load"

_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
_ENDLESS = (
    b'{"model": "SmolLM2-135M-Instruct.Q4_1", "stream": true, "n": 4, '
    b'"messages": [{"role": "user", "content": "Tell me a very long story."}]}'
)
TRIES: Mapping[str, bytes] = {
    "half a request line": b"GET /hea",
    "a body without its end": _HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a stream that nobody reads": _HEAD
    + f"Content-Length: {len(_ENDLESS)}\r\n\r\n".encode()
    + _ENDLESS,
}
"""What is under way, several times each, when the server is told to end."""

QUICK = """
model: null
server: {drain_seconds: 1}
"""


@pytest.mark.e2e
def test_it_ends_when_it_is_told_to_whatever_is_under_way(tmp_path: Path) -> None:
    with serving(tmp_path, QUICK) as program, ExitStack() as opened:
        address = urlsplit(program.url)
        clients = []
        for sent in [*TRIES.values()] * 4:
            client = socket.create_connection((address.hostname or "", address.port or 0))
            opened.enter_context(client)
            client.sendall(sent)
            clients.append(client)
        # Streams have begun: the model is loaded and generates.
        clients[2].settimeout(seconds(30))
        assert clients[2].recv(12) == b"HTTP/1.1 200"
        program.process.send_signal(signal.SIGTERM)
        exit_code = program.process.wait(timeout=seconds(10))
        assert program.process.stderr is not None
        said = program.process.stderr.read()

    assert exit_code == 143
    assert "Traceback" not in said


async def test_many_choices_with_logprobs_leave_room_for_others() -> None:
    """20 choices with 20 alternatives a token, beside requests that want one token."""
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story."}]}
    many = {"n": 20, "logprobs": True, "top_logprobs": 20, "max_tokens": 16}
    found: dict[str, httpx2.Response] = {}
    async with running(config=Config(tools=())) as server, anyio.create_task_group() as tasks:
        ask["model"] = server.runtime.models[0].name

        async def post(name: str, body: dict[str, Any]) -> None:
            found[name] = await server.http.post("/v1/chat/completions", json=ask | body)

        tasks.start_soon(post, "many", many)
        for number in range(4):
            tasks.start_soon(post, f"other {number}", {"max_tokens": 1})
        found["health"] = await server.http.get("/health")

    assert {name: answer.status_code for name, answer in found.items()} == {
        **dict.fromkeys(("many", "health"), 200),
        **{f"other {number}": 200 for number in range(4)},
    }
    choices = found["many"].json()["choices"]
    assert len(choices) == 20
    scored = [token for choice in choices for token in choice["logprobs"]["content"]]
    assert {len(token["top_logprobs"]) for token in scored} == {20}


SECRETS = {"SERVER_KEY": "marked-server-key-1", "TOOL_TOKEN": "marked-tool-token-2"}
WITH_SECRETS = f"""
tools: []
server:
  require_api_key: true
  api_keys: ["${{SERVER_KEY}}"]
mcp_servers:
  demo:
    command: {sys.executable}
    args: [-m, kronk_mcp_servers.demo]
    env: {{ TOKEN: "${{TOOL_TOKEN}}" }}
    required: true
"""


@pytest.mark.e2e
def test_no_secret_is_in_command_lines_metrics_or_logs(tmp_path: Path) -> None:
    with serving(tmp_path, WITH_SECRETS, environment=SECRETS) as program:
        key = {"x-api-key": SECRETS["SERVER_KEY"]}
        asked = {"model": "x", "messages": [], "secret": SECRETS["SERVER_KEY"]}
        with httpx2.Client(base_url=program.url, headers=key, timeout=seconds(20)) as http:
            told = [http.get(path).text for path in ("/v1/models", "/health", "/nothing")]
            http.post("/v1/chat/completions", json=asked)
            http.get("/v1/models", headers={"x-api-key": "marked-wrong-key-3"})
        processes = [psutil.Process(program.process.pid)]
        processes += processes[0].children(recursive=True)
        shown = [" ".join(process.cmdline()) for process in processes]
        program.process.send_signal(signal.SIGTERM)
        program.process.wait(timeout=seconds(20))
        assert program.process.stderr is not None
        told.append(program.process.stderr.read())

    logs = [file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.log")]
    marked = [text for text in (*shown, *told, *logs) if "marked-" in text]
    assert len(shown) >= 2
    assert marked == []
