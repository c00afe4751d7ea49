from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
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
def odd_url() -> Iterator[str]:
    """No MCP server: it answers a POST to /STATUS with that status, and one to /hang never."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Odd) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        _Odd.is_over.set()
        server.shutdown()


class _Odd(BaseHTTPRequestHandler):
    is_over = Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path == "/hang":
            self.is_over.wait()
            return
        self.send_response(int(path.removeprefix("/")))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Hello!</h1>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""
