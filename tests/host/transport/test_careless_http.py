"""What can be read of a careless HTTP answer is read; what cannot ends the request at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio
import pytest
from host.support import call, error_of, hosting, text_of
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject

JSON, TEXT, EVENTS = "application/json", "text/plain", "text/event-stream"
ANSWER = '{"jsonrpc": "2.0", "id": @ID@, "result": {"content": [{"type": "text", "text": "42"}]}}'


@dataclass
class Answer:
    """How a call is answered: a status, a body, and what that is called."""

    status: int
    body: str | bytes
    media_type: str | None = JSON
    length: int | None = None
    """Of the body, as the header says it; None is the truth."""


@dataclass
class Site:
    """A server whose first session is forgotten, where ``forgets`` says so with an answer."""

    url: str
    answer: Answer = field(default_factory=lambda: Answer(200, ANSWER))
    forgets: Answer | None = None
    ping_status: int = 200
    endpoint: str = ""
    sessions: int = 0
    calls: list[str] = field(default_factory=list)
    """The sessions of the calls that came."""
    is_over: Event = field(default_factory=Event)


@pytest.fixture
def site() -> Iterator[Site]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        _Handler.site = Site(f"http://127.0.0.1:{server.server_port}")
        yield _Handler.site
        _Handler.site.is_over.set()
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/redirect":
            self._send(Answer(307, ""), None, {"Location": "https://elsewhere.example/mcp"})
            return
        if self.path != "/mcp":
            self._send(Answer(404, "<h1>Not here</h1>", "text/html"))
            return
        session = self.headers.get("Mcp-Session-Id", "none")
        forgets = self.site.forgets if session == "session-1" else None
        match request:
            case {"method": "initialize", "id": id}:
                self.site.sessions += 1
                result: JsonObject = {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "careless", "version": "1"},
                }
                self._give(id, result, {"Mcp-Session-Id": f"session-{self.site.sessions}"})
            case {"method": "tools/list", "id": id}:
                self._give(id, {"tools": [{"name": "get", "inputSchema": {"type": "object"}}]})
            case {"method": "tools/call", "id": id}:
                self.site.calls.append(session)
                self._send(forgets or self.site.answer, id)
            case {"method": "ping", "id": id}:
                status = self.site.ping_status if session == "session-1" else 200
                body = f'{{"jsonrpc": "2.0", "id": {id}, "result": {{}}}}'
                self._send(Answer(status, body if status == 200 else "nope"))
            case {"id": _}:
                self._send(Answer(400, "no such method", TEXT))
            case _:
                self._send(Answer(202, ""))

    def do_GET(self) -> None:
        if not self.site.endpoint:
            self._send(Answer(405, ""))
            return
        self.send_response(200)
        self.send_header("Content-Type", EVENTS)
        self.end_headers()
        self.wfile.write(f"event: endpoint\ndata: {self.site.endpoint}\n\n".encode())
        self.wfile.flush()
        self.site.is_over.wait()

    def _give(self, id: Any, result: JsonObject, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": id, "result": result})
        self._send(Answer(200, body), id, headers)

    def _send(self, answer: Answer, id: Any = None, headers: dict[str, str] | None = None) -> None:
        body = answer.body if isinstance(answer.body, bytes) else answer.body.encode()
        body = body.replace(b"@ID@", json.dumps(id).encode())
        self.send_response(answer.status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if answer.media_type is not None:
            self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(answer.length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


def _server(site: Site, **more: object) -> McpServerConfig:
    return McpServerConfig.model_validate({"url": f"{site.url}/mcp", "protocol": "legacy", **more})


async def _outcomes(site: Site, folder: Path, times: int = 1) -> list[str]:
    """What the model reads of each call."""
    outcomes = []
    with anyio.fail_after(seconds(20)):
        async with hosting({"x": _server(site)}, folder) as host:
            for _ in range(times):
                await host.wait_ready()
                try:
                    outcomes.append(text_of(await call(host, "x__get")))
                except ToolError as error:
                    outcomes.append(str(error).removeprefix("MCP server 'x' "))
    return outcomes


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, ANSWER, "text/json; charset=utf-8"),
        Answer(200, ANSWER, None),
        Answer(200, ANSWER, TEXT),
        Answer(200, b"\xef\xbb\xbf" + ANSWER.encode()),
        Answer(200, ANSWER.replace("@ID@", "null").encode("utf-16")),
        Answer(200, ANSWER.replace("@ID@", "null")),
        Answer(200, ANSWER.replace('"jsonrpc": "2.0", ', "")),
        Answer(200, f'[{{"method": "notifications/x"}}, {ANSWER}]'),
        Answer(200, f"event: message\ndata: {ANSWER}\n\n", None),
        Answer(200, f"event: result\ndata: \ufeff{ANSWER}\n\n", EVENTS),
    ],
    ids=lambda answer: f"{answer.media_type} {answer.body[:30]!r}",
)
async def test_a_careless_answer_is_read(site: Site, tmp_path: Path, answer: Answer) -> None:
    site.answer = answer

    assert await _outcomes(site, tmp_path) == ["42"]


EFFECT = "it may have had an effect, so look before you repeat it"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(200, '{"jsonrpc": "2.0", "id": null, "error": {"message": "no customer 17"}}'),
            "refused the call: no customer 17",
        ),
        (
            Answer(200, "<p>Please <b>sign in</b></p>", "text/html"),
            "answered the call with something that is not MCP: text/html, 'Please sign in'",
        ),
        (
            Answer(200, "", EVENTS),
            "broke off before it answered the call (SSE stream ended without a response): "
            + EFFECT,
        ),
        (Answer(200, ""), f"broke off before it answered the call (the answer is empty): {EFFECT}"),
        (
            Answer(200, ANSWER[:40], length=999),
            f"broke off before it answered the call (the answer broke off): {EFFECT}",
        ),
        (
            Answer(504, "<h1>Gateway\nTime-out</h1>", "text/html"),
            f"failed to answer the call (HTTP 504): Gateway Time-out: {EFFECT}",
        ),
        (Answer(500, '{"detail": "no disk"}'), "failed to answer the call (HTTP 500): no disk"),
        (
            Answer(422, '{"error": {"code": 1, "message": "bad", "data": ["q is no date"]}}'),
            'failed to answer the call (HTTP 422): bad: ["q is no date"]',
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_answer_that_fails_ends_the_call_at_once(
    site: Site, tmp_path: Path, answer: Answer, said: str
) -> None:
    site.answer = answer

    assert await _outcomes(site, tmp_path) == [said]
    assert site.sessions == 1


UNKNOWN = '{"jsonrpc": "2.0", "id": %s, "error": {"code": -32001, "message": "%s"}}'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, "", None),
        Answer(410, "Gone", TEXT),
        Answer(400, "Bad Request: Server not initialized", TEXT),
        Answer(400, UNKNOWN % ("null", "Bad Request: No valid session ID provided")),
        Answer(401, "Unauthorized: Session not found", TEXT),
        Answer(422, "Unexpected message, expect initialize request", TEXT),
        Answer(500, UNKNOWN % ("null", "Session has expired")),
        Answer(200, UNKNOWN % ("null", "Session not found")),
        Answer(200, UNKNOWN % ("@ID@", "Unknown session id")),
        Answer(200, f"data: {UNKNOWN % ('@ID@', 'session does not exist')}\n\n", EVENTS),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[-40:]}",
)
async def test_a_call_is_made_again_in_a_new_session(
    site: Site, tmp_path: Path, answer: Answer
) -> None:
    site.forgets = answer

    assert await _outcomes(site, tmp_path, times=2) == ["42", "42"]
    assert site.calls == ["session-1", "session-2", "session-2"]


async def test_a_call_is_not_made_again_where_nothing_says_that_it_had_no_effect(
    site: Site, tmp_path: Path
) -> None:
    """The ping tells that the session is over, and the next call has a new one."""
    site.forgets, site.ping_status = Answer(400, "Bad Request", TEXT), 400

    outcomes = await _outcomes(site, tmp_path, times=2)

    assert outcomes == ["failed to answer the call (HTTP 400): Bad Request", "42"]
    assert site.calls == ["session-1", "session-2"]


async def test_a_server_that_never_knows_a_session_is_asked_twice(
    site: Site, tmp_path: Path
) -> None:
    site.answer = Answer(400, "Unknown session", TEXT)

    outcomes = await _outcomes(site, tmp_path)

    assert outcomes == ["failed to answer the call (HTTP 400): Unknown session"]
    assert site.calls == ["session-1", "session-2"]


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (
            "/messages?sid=secret",
            "names the endpoint '/messages' to post to, and URL/messages answers HTTP 404: "
            "correct mcp_servers.x.url, or the proxy in front of it",
        ),
        (
            "http://inside.example:8000/messages",
            "says to post to http://inside.example:8000, which is another origin than URL: "
            "correct mcp_servers.x.url, or the public address it is told behind a proxy",
        ),
        (
            '"/messages"',
            "names the endpoint '\"/messages\"' to post to, and URL/%22/messages%22 answers "
            "HTTP 404: correct mcp_servers.x.url, or the proxy in front of it",
        ),
    ],
)
async def test_an_sse_endpoint_that_leads_elsewhere_is_told_at_once(
    site: Site, tmp_path: Path, endpoint: str, said: str
) -> None:
    site.endpoint = endpoint
    server = _server(site, type="sse", startup_timeout=60)

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            error = error_of(host.statuses()[0])

    assert error == f"MCP server 'x' {said.replace('URL', site.url)}"


async def test_an_sse_endpoint_that_redirects_elsewhere_is_told_at_once(
    site: Site, tmp_path: Path
) -> None:
    site.endpoint = "/redirect"

    with anyio.fail_after(seconds(15)):
        async with hosting({"x": _server(site, type="sse", startup_timeout=60)}, tmp_path) as host:
            await host.wait_ready()
            error = error_of(host.statuses()[0])

    assert f"and {site.url}/redirect answers HTTP 307: correct" in error
