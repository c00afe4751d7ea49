from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from host.support import modern, serving, unused_port


@pytest.fixture(autouse=True)
def _own_folders(own_folders: None) -> None:
    """Nothing that a server does is remembered beyond its test."""


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """Where servers that are given it as PIDS leave their process ids."""
    directory = tmp_path / "pids"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    """Our demo server, serving HTTP in a process of its own."""
    port = unused_port()
    with serving(port, "-m", "kronk_mcp_servers.demo", "--http"):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def modern_url() -> Iterator[str]:
    port = unused_port()
    with serving(port, *modern().args):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def sse_url() -> Iterator[str]:
    port = unused_port()
    with serving(port, *modern().args, "sse"):
        yield f"http://127.0.0.1:{port}/events"


@pytest.fixture(scope="module")
def odd_url() -> Iterator[str]:
    """No MCP server: it answers a POST to /STATUS with that status, and one to /hang never.

    At /call/STATUS and /call/hang it is one, and only calls end like that; at /call/event they are
    answered with an event of 2 MB.
    """
    _Odd.is_over.clear()  # another module may have set it
    with ThreadingHTTPServer(("127.0.0.1", 0), _Odd) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        _Odd.is_over.set()
        server.shutdown()


class _Odd(BaseHTTPRequestHandler):
    is_over = Event()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        if path.startswith("/call/"):
            if request["method"] != "tools/call":
                self._answer(request)
                return
            path = path.removeprefix("/call")
        if path == "/event":
            text = {"type": "text", "text": "x" * 2_000_000}
            self._send(request, {"content": [text]}, "text/event-stream")
            return
        if path == "/hang":
            self.is_over.wait()
            return
        self.send_response(int(path.removeprefix("/")))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Hello!</h1>")

    def _answer(self, request: dict[str, Any]) -> None:
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "odd", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "ping", "inputSchema": {"type": "object"}}]},
        }
        if result := results.get(request["method"]):
            self._send(request, result, "application/json")
            return
        self.send_response(202 if "id" not in request else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, request: dict[str, Any], result: dict[str, Any], media_type: str) -> None:
        message = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})
        is_event = media_type == "text/event-stream"
        body = f"event: message\ndata: {message}\n\n".encode() if is_event else message.encode()
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""
