"""A small web on 127.0.0.1 that answers as a test tells it to."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from typing import TypeAlias

LOOPBACK = IPv4Network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response, sent as it is."""

    body: bytes = b""
    content_type: str | None = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """One HTTP request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


Stream: TypeAlias = Callable[[BaseHTTPRequestHandler], None]
"""Writes a response by hand; what the client's hanging up raises is expected."""


@dataclass(frozen=True, slots=True)
class LoopbackWeb:
    """What is served, and what was asked for."""

    url: str
    """Without a slash at the end."""
    answers: dict[str, Answer | Stream] = field(default_factory=dict)
    """By path, without the query."""
    requests: list[Received] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: what a stream that stalls waits for."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def html(self, path: str, html: str) -> str:
        """Serve a page; gives its URL."""
        self.answers[path] = Answer(html.encode())
        return self.url + path

    def redirect(self, path: str, target: str, **headers: str) -> str:
        """Serve a redirect; gives its URL."""
        self.answers[path] = Answer(status=302, headers={"Location": target, **headers})
        return self.url + path


@contextlib.contextmanager
def loopback_web(*, tls: ssl.SSLContext | None = None) -> Iterator[LoopbackWeb]:
    """Serve on a free port for as long as the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        web = LoopbackWeb(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = _handler_for(web)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield web
        finally:
            web.closing.set()
            server.shutdown()
            thread.join()


def _handler_for(web: LoopbackWeb) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            web.requests.append(Received(self.command, self.path, headers, body))
            answer = web.answers.get(self.path.partition("?")[0], Answer(status=404))
            if isinstance(answer, Answer):
                _send(self, answer)
                return
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                answer(self)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            """Not on the test's stderr."""

    return Handler


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    handler.send_response(answer.status)
    if answer.content_type is not None:
        handler.send_header("Content-Type", answer.content_type)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if "Content-Length" not in answer.headers:
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    with contextlib.suppress(ConnectionError):
        handler.wfile.write(answer.body)
