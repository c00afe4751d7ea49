"""Other people's MCP clients against kronk-agent: each calls ``ask_agent`` and a gateway tool.

``python -m clients.mcp_clients FOLDER [NAME ...]``: the folder has MCP Inspector, Claude Code and
mcpb in its node_modules, and the SDK of before 2026 in the environment ``v1``. Each NAME is a part
of the names of the clients to try; without one, all are tried. Ends with a line for each client.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from clients.environments import python_of

FOLDER = Path(sys.argv[1]).absolute()
BIN = Path(sysconfig.get_path("scripts"))
TIMEOUT_SECONDS = 120

CONFIG = {
    "tools": ["web_fetch"],
    "web_fetch": {"allow_private": ["127.0.0.0/8"], "robots": False, "delay_seconds": 0},
    "agent": {"max_tokens": 16, "max_steps": 2},
    "mcp_servers": {"demo": {"command": sys.executable, "args": ["-m", "kronk_mcp_servers.demo"]}},
    "serve_mcp": {"expose": ["ask_agent", "web_fetch", "demo__*"]},
}
PROMPT = {"prompt": "Say hello.", "tools": []}
SUM = {"a": 1, "b": 2}
PROGRAMS = Path(__file__).parent / "python"
LIBRARIES = {
    "FastMCP 4.2.3": ("fastmcp_client.py", "fastmcp==4.2.3"),
    "langchain-mcp-adapters 0.3.2": ("langchain_mcp.py", "langchain-mcp-adapters==0.3.2"),
}
"""The program in PROGRAMS and the package of each, for environments.py."""


class Failed(Exception):
    """A client did not do what it should; says what it did instead."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "HOME": str(home),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        config = home / "kronk.yaml"
        config.write_text(json.dumps(CONFIG))
        kronk = [str(BIN / "kronk-agent"), "--config", str(config)]
        run([*kronk, "tools", "list"], environ)  # the tools of demo are known from now on
        with serving(kronk, environ) as url:
            servers: dict[str, dict[str, Any]] = {
                "stdio": {"command": kronk[0], "args": [*kronk[1:], "mcp", "serve"]},
                "http": {"type": "streamable-http", "url": url},
            }
            clients: dict[str, Callable[[], None]] = {
                **inspector(servers, home, environ),
                "mcp 1.30, stdio": lambda: old_sdk(servers["stdio"], environ),
                "mcp 1.30, http": lambda: old_sdk(servers["http"], environ),
                **libraries(servers, environ),
                "FastMCP 4.2.3, as a server": lambda: fastmcp_server(home, environ),
                "mcpb": lambda: bundle(kronk, home, environ),
                "Claude Code": lambda: claude_code(servers, home, environ),
            }
            outcomes = {
                name: attempt(client) for name, client in clients.items() if is_wanted(name)
            }
    for name, problem in outcomes.items():
        print(f"{name}: {'ok' if problem is None else problem}")
    sys.exit(any(problem is not None for problem in outcomes.values()))


def is_wanted(name: str) -> bool:
    return not sys.argv[2:] or any(word.lower() in name.lower() for word in sys.argv[2:])


def attempt(client: Callable[[], None]) -> str | None:
    try:
        client()
    except (Failed, subprocess.TimeoutExpired) as failure:
        return str(failure)
    return None


def run(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=environ,
        cwd=environ["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}")
    return done.stdout


@contextmanager
def serving(kronk: list[str], environ: dict[str, str]) -> Iterator[str]:
    """``kronk-agent serve`` on any port; gives the address of MCP."""
    command = [*kronk, "serve", "--port", "0"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            for line in server.stderr:
                if found := re.search(r"http://\S+/mcp", line):
                    yield found[0]
                    return
            raise Failed("kronk-agent serve ended")
        finally:
            server.terminate()


def inspector(
    servers: dict[str, dict[str, Any]], home: Path, environ: dict[str, str]
) -> dict[str, Callable[[], None]]:
    """MCP Inspector's command line, on both transports, in both eras."""
    (home / "mcp.json").write_text(json.dumps({"mcpServers": servers}))

    def call(server: str, era: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        command = [
            *(str(FOLDER / "node_modules/.bin/mcp-inspector"), "--cli", "--format", "json"),
            *("--config", str(home / "mcp.json"), "--server", server, "--protocol-era", era),
            *("--method", "tools/call", "--tool-name", tool),
            *("--tool-args-json", json.dumps(arguments)),
        ]
        found: dict[str, Any] = json.loads(run(command, environ))
        result = found.get("result", found)
        assert isinstance(result, dict)
        return result

    def both(server: str, era: str) -> None:
        expect(call(server, era, "demo__add", SUM)["structuredContent"], {"result": 3})
        answer = call(server, era, "ask_agent", PROMPT)["structuredContent"]
        expect(answer["steps"], [{"step": 1, "tool_calls": []}])

    return {
        f"Inspector, {server}, {era}": partial(both, server, era)
        for server in servers
        for era in ("legacy", "modern")
    }


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise Failed(f"{found!r} in place of {wanted!r}")


OLD_SDK = """
import anyio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

async def main(server, calls):
    if "url" in server:
        transport = streamablehttp_client(server["url"])
    else:
        transport = stdio_client(StdioServerParameters(**server))
    async with transport as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        for name, arguments in calls:
            result = await session.call_tool(name, arguments)
            print(json.dumps(result.structuredContent))

anyio.run(main, json.loads(sys.argv[1]), json.loads(sys.argv[2]))
"""


def old_sdk(server: dict[str, Any], environ: dict[str, str]) -> None:
    """``ClientSession`` of the SDK that most Python clients still use."""
    both_tools([str(FOLDER / "v1/bin/python"), "-c", OLD_SDK], server, environ)


def both_tools(program: list[str], server: dict[str, Any], environ: dict[str, str]) -> None:
    """A program is given a server and two calls, and prints the structured result of each."""
    calls = [["demo__add", SUM], ["ask_agent", PROMPT]]
    printed = run([*program, json.dumps(server), json.dumps(calls)], environ)
    added, asked = map(json.loads, printed.splitlines())
    expect(added, {"result": 3})
    expect(asked["steps"], [{"step": 1, "tool_calls": []}])


def libraries(
    servers: dict[str, dict[str, Any]], environ: dict[str, str]
) -> dict[str, Callable[[], None]]:
    """Libraries with an environment each, on both transports."""

    def both(server: str, program: str, package: str) -> None:
        command = [python_with(package), str(PROGRAMS / program)]
        both_tools(command, servers[server], environ)

    return {
        f"{name}, {server}": partial(both, server, program, package)
        for name, (program, package) in LIBRARIES.items()
        for server in servers
    }


def fastmcp_server(home: Path, environ: dict[str, str]) -> None:
    """Our host calls the tool of a server that was made with FastMCP."""
    _, package = LIBRARIES["FastMCP 4.2.3"]
    server = {"command": python_with(package), "args": [str(PROGRAMS / "fastmcp_server.py")]}
    config = home / "fastmcp.yaml"
    config.write_text(json.dumps({"mcp_servers": {"fastmcp": server}}))
    call = ["tools", "call", "fastmcp__add", json.dumps(SUM)]
    expect(run([str(BIN / "kronk-agent"), "--config", str(config), *call], environ), "3\n")


def python_with(package: str) -> str:
    """The Python of an environment with this package.

    Raises:
        Failed: it could not be made.
    """
    python = python_of(package.partition("==")[0], [package])
    if python is None:
        raise Failed(f"{package} could not be installed")
    return str(python)


START_OF_BUNDLE = """
import { readFileSync } from "node:fs";
const { getMcpConfigForManifest } = await import(process.argv[1]);
const manifest = JSON.parse(readFileSync(process.argv[2] + "/manifest.json", "utf8"));
const start = await getMcpConfigForManifest({
    manifest, extensionPath: process.argv[2], systemDirs: {}, userConfig: {}, pathSeparator: "/",
});
console.log(JSON.stringify(start));
"""


def bundle(kronk: list[str], home: Path, environ: dict[str, str]) -> None:
    """The bundle is what the format's own tool wants, and starts us by what that makes of it."""
    file, folder = home / "kronk.mcpb", home / "extension"
    mcpb = str(FOLDER / "node_modules/.bin/mcpb")
    run([*kronk, "mcp", "bundle", str(file)], environ)
    run([mcpb, "info", str(file)], environ)
    run([mcpb, "unpack", str(file), str(folder)], environ)
    run([mcpb, "validate", str(folder)], environ)
    library = (FOLDER / "node_modules/@anthropic-ai/mcpb/dist/index.js").as_uri()
    node = ["node", "--input-type=module", "-e", START_OF_BUNDLE, library, str(folder)]
    old_sdk(json.loads(run(node, environ)), environ)


# --- Claude Code -------------------------------------------------------------------------------


def claude_code(servers: dict[str, dict[str, Any]], home: Path, environ: dict[str, str]) -> None:
    """It sees both servers connected, and calls two tools because a scripted model says so."""
    claude = str(FOLDER / "node_modules/.bin/claude")
    settings = {
        "stdio": {"type": "stdio", **servers["stdio"]},
        "http": {"type": "http", "url": servers["http"]["url"]},
    }
    (home / ".claude.json").write_text(json.dumps({"mcpServers": settings}))
    listed = run([claude, "mcp", "list"], environ)
    expect(listed.count("Connected"), 2)
    (home / "claude.json").write_text(json.dumps({"mcpServers": settings}))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("mcp__stdio__demo__add", SUM),
        ("mcp__http__ask_agent", PROMPT),
    ]
    with ScriptedMessages(calls) as messages:
        own = {
            "ANTHROPIC_BASE_URL": messages.url,
            "ANTHROPIC_API_KEY": "none",
            "ENABLE_TOOL_SEARCH": "false",
            "MCP_CONNECTION_NONBLOCKING": "0",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        command = [
            *(claude, "-p", "Do it.", "--mcp-config", str(home / "claude.json")),
            *("--strict-mcp-config", "--output-format", "json", "--allowedTools"),
            ",".join(name for name, _ in calls),
        ]
        run(command, environ | own)
    added, asked = messages.results
    expect('"result":3' in added.replace(" ", ""), True)
    expect('"session_id"' in asked, True)


class ScriptedMessages:
    """An Anthropic Messages endpoint whose model makes these calls, one after the other."""

    def __init__(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self.calls = calls
        self.results: list[str] = []
        """What came of them, as the model is told."""
        handler = type("Handler", (_Messages,), {"script": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ScriptedMessages:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Messages(BaseHTTPRequestHandler):
    script: ScriptedMessages

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = {tool["name"] for tool in request.get("tools", ())}
        results = [
            json.dumps(block.get("content"))
            for message in request.get("messages", ())
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        ]
        if not names & {name for name, _ in self.script.calls}:
            self._say({"type": "text", "text": ""}, {"type": "text_delta", "text": "ok"})
            return
        self.script.results = [result.replace('\\"', '"') for result in results]
        if len(results) == len(self.script.calls):
            self._say({"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."})
            return
        name, arguments = self.script.calls[len(results)]
        block = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        self._say(block, delta, stop_reason="tool_use")

    def _say(
        self, block: dict[str, Any], delta: dict[str, Any], *, stop_reason: str = "end_turn"
    ) -> None:
        message: dict[str, Any] = {
            "id": f"msg_{time.monotonic_ns()}",
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        ending = {"stop_reason": stop_reason, "stop_sequence": None}
        events: list[tuple[str, dict[str, Any]]] = [
            ("message_start", {"message": message}),
            ("content_block_start", {"index": 0, "content_block": block}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": ending, "usage": {"output_tokens": 1}}),
            ("message_stop", {}),
        ]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for kind, data in events:
            text = json.dumps({"type": kind, **data})
            self.wfile.write(f"event: {kind}\ndata: {text}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


if __name__ == "__main__":
    main()
