"""Loopback redirect page that a browser returns to after a login (RFC 8252, section 7.3).

It listens on 127.0.0.1 only, accepts the first response only, and answers other requests with 404.
"""

from __future__ import annotations

import http
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token
from mcp.shared.auth import AuthorizationCodeResult

from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.tools.sanitize import strip_invisible

_PATH = "/callback"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>kronk-agent</title>'
    "<body><p>{}</p></body></html>"
)
_MAX_SHOWN = 200


class Callback:
    """The page, and the response that the browser delivered."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri
        self._came = anyio.Event()
        self._answer: dict[str, str] = {}

    async def wait(self) -> AuthorizationCodeResult:
        """Wait for the browser to return.

        Raises:
            ServerUnavailableError: the authorization server refused the login.
        """
        await self._came.wait()
        answer, self._came = self._answer, anyio.Event()
        if (error := answer.get("error")) is not None:
            message = f"{error}: {answer.get('error_description', '')}".removesuffix(": ")
            shown = strip_invisible(message)[:_MAX_SHOWN]
            remedy = "approve the login in the browser, or request access there"
            raise ServerUnavailableError(f"refused the login ({shown}): {remedy}")
        return AuthorizationCodeResult(
            code=answer.get("code", ""), state=answer.get("state"), iss=answer.get("iss")
        )

    def take(self, answer: dict[str, str]) -> None:
        """Accept the response, unless one was accepted before."""
        if not self._came.is_set():
            self._answer = answer
            self._came.set()


@asynccontextmanager
async def listening(port: int | None, *, is_fixed: bool = False) -> AsyncGenerator[Callback, None]:
    """Serve the page on this port; if it is taken, on any free port unless it is fixed.

    Raises:
        ServerUnavailableError: the fixed port is taken.
    """
    try:
        server = _Server(port or 0)
    except OSError as error:
        if is_fixed:
            message = f"cannot be signed in to: port {port} is taken: change oauth.callback_port"
            raise ServerUnavailableError(message) from error
        server = _Server(0)
    with server:
        # Daemon: an open browser connection must not keep the program running.
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server.callback
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.callback = Callback(f"http://127.0.0.1:{self.server_port}{_PATH}")
        self._loop = current_token()

    def take(self, answer: dict[str, str]) -> None:
        """Pass the response from a request's thread to the event loop."""
        from_thread.run_sync(self.callback.take, answer, token=self._loop)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0
    protocol_version = "HTTP/1.0"
    error_content_type = "text/plain"
    error_message_format = "%(message)s"

    def do_GET(self) -> None:
        """Answer the browser and pass its query on."""
        parts = urlsplit(self.path)
        answer = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path != _PATH or not answer.keys() & {"code", "error"}:
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        message = "The login was refused." if "error" in answer else "You can close this page."
        page = _PAGE.format(message).encode()
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(page)
        assert isinstance(self.server, _Server)
        self.server.take(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, since the query is secret."""
