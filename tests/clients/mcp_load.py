"""Our MCP server under load: many fetches of a page that is kept, and the memory they take.

``python -m clients.mcp_load FOLDER``, the folder of mcp_clients.py. First MCP Inspector makes 300
calls, 10 at a time; then 5,000 come over HTTP, and the memory afterwards is compared with that
after 500.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import anyio
import psutil
from loopback_web import loopback_web
from mcp import Client

FOLDER = Path(sys.argv[1]).absolute()
BIN = Path(sysconfig.get_path("scripts"))
NUM_CALLS = 5000
NUM_FIRST = 500
NUM_AT_ONCE = 10
GROWTH = 1.10
"""At most."""
CONFIG = {
    "tools": ["web_fetch"],
    "web_fetch": {"allow_private": ["127.0.0.0/8"], "robots": False, "delay_seconds": 0},
    "sessions": {"url": "sqlite://"},
    "serve_mcp": {"expose": ["web_fetch"]},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name, loopback_web() as web:
        home = Path(name)
        page = web.html("/tea", "<title>Tea</title><p>" + "Leaves and water. " * 100)
        config = home / "kronk.yaml"
        config.write_text(json.dumps(CONFIG))
        environ = {**os.environ, "HOME": name, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        command = [str(BIN / "kronk-agent"), "--config", str(config), "serve", "--port", "0"]
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            try:
                found = (re.search(r"http://\S+/mcp", line) for line in server.stderr)
                url = next(match[0] for match in found if match)
                inspect(url, page, environ)
                anyio.run(measure, url, page, psutil.Process(server.pid))
            finally:
                server.terminate()


def inspect(url: str, page: str, environ: dict[str, str]) -> None:
    """Inspector says how it went; it ends with a code if a call failed."""
    command = [
        *(str(FOLDER / "node_modules/.bin/mcp-inspector"), "--cli", url, "--format", "json"),
        *("--method", "tools/call", "--tool-name", "web_fetch"),
        *("--tool-args-json", json.dumps({"url": page})),
        *("--load", "--load-requests", "300", "--load-concurrency", str(NUM_AT_ONCE)),
    ]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    print(done.stdout.strip())
    if done.returncode:
        sys.exit(f"MCP Inspector: exit code {done.returncode}: {done.stderr[-500:]}")


async def measure(url: str, page: str, server: psutil.Process) -> None:
    async with Client(url) as client:

        async def call_some(number: int) -> None:
            for _ in range(number):
                result = await client.call_tool("web_fetch", {"url": page})
                assert not result.is_error, result.content

        async def call(number: int) -> int:
            async with anyio.create_task_group() as tasks:
                for _ in range(NUM_AT_ONCE):
                    tasks.start_soon(call_some, number // NUM_AT_ONCE)
            return server.memory_info().rss

        first = await call(NUM_FIRST)
        last = await call(NUM_CALLS - NUM_FIRST)
    growth = last / first
    print(
        f"memory after {NUM_FIRST} calls {first >> 20} MiB, after {NUM_CALLS} {last >> 20} MiB: "
        f"{(growth - 1) * 100:+.1f} %"
    )
    sys.exit(growth > GROWTH)


if __name__ == "__main__":
    main()
