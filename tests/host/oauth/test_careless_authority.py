"""Logins where the authorization server is careless about the RFCs, and what failures say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.oauth.flow import Logins
from kronk_agent.host.oauth.login import sign_in
from kronk_agent.host.oauth.token_store import EncryptedFiles

TOKEN = "secret-token-1"
TOKENS: dict[str, Any] = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}


@dataclass
class Authority:
    """A server and its authorization server in one; ``O`` in texts is its address."""

    address: str
    named: str = "O"
    """The authorization server, as the resource names it."""
    issuer: str = "O"
    """As it calls itself, in its metadata and as ``iss``."""
    metadata: dict[str, Any] = field(default_factory=dict)
    registered: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    token: str = json.dumps(TOKENS)
    asked_for_json: list[str] = field(default_factory=list)

    def put(self, text: str) -> str:
        return text.replace("O", self.address)


@pytest.fixture
def authority() -> Iterator[Authority]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        _Handler.authority = Authority(f"http://127.0.0.1:{server.server_port}")
        yield _Handler.authority
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    authority: Authority

    def do_GET(self) -> None:
        this, (path, query) = self.authority, (urlsplit(self.path).path, urlsplit(self.path).query)
        if path == "/authorize":
            asked = dict(parse_qsl(query))
            answer = {"code": "k", "state": asked["state"], "iss": this.put(this.issuer)}
            self._send(302, "", Location=f"{asked['redirect_uri']}?{urlencode(answer)}")
        elif path.startswith("/.well-known/oauth-protected-resource"):
            named = [this.put(this.named)]
            resource = {"resource": f"{this.address}/mcp", "authorization_servers": named}
            self._send(200, json.dumps(resource))
        elif path.startswith("/.well-known/oauth-authorization-server"):
            found = {
                "issuer": this.put(this.issuer),
                "authorization_endpoint": f"{this.address}/authorize",
                "token_endpoint": f"{this.address}/token",
                "registration_endpoint": f"{this.address}/register",
                **this.metadata,
            }
            self._send(200, json.dumps(found))
        else:
            self._send(404, "")

    def do_POST(self) -> None:
        this, body = self.authority, self.rfile.read(int(self.headers["Content-Length"]))
        match self.path:
            case "/register":
                given = json.loads(body) | {"client_id": "c1", **this.registered}
                self._send(201, json.dumps(given))
            case "/token":
                this.asked_for_json.append(self.headers.get("Accept", ""))
                self._send(this.token_status, this.token)
            case "/mcp" if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                self._serve(json.loads(body))
            case _:
                where = f"{this.address}/.well-known/oauth-protected-resource/mcp"
                self._send(401, "", WWW_Authenticate=f'Bearer resource_metadata="{where}"')

    def _serve(self, request: dict[str, Any]) -> None:
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            },
            "tools/list": {"tools": []},
        }
        if "id" not in request:
            self._send(202, "")
            return
        result = results.get(request["method"])
        said = {"result": result} if result else {"error": {"code": -32601, "message": "no"}}
        self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], **said}))

    def _send(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(EncryptedFiles(tmp_path / "logins", tmp_path / "key", None))


async def _browse(url: str) -> None:
    async with httpx2.AsyncClient(follow_redirects=True, timeout=seconds(5)) as http:
        (await http.get(url)).raise_for_status()


async def _sign_in(authority: Authority, logins: Logins, **oauth: object) -> bool:
    config = {"url": f"{authority.address}/mcp", "oauth": oauth}
    return await sign_in("x", McpServerConfig.model_validate(config), logins, _browse)


@pytest.mark.parametrize(
    ("named", "issuer"),
    [("O/", "O"), ("O", "O/"), ("O/tenant/", "O/tenant"), ("O/tenant", "O/tenant/")],
)
async def test_an_issuer_is_the_same_with_and_without_the_last_slash(
    authority: Authority, logins: Logins, named: str, issuer: str
) -> None:
    authority.named, authority.issuer = named, issuer

    assert await _sign_in(authority, logins)

    login = await logins.read("x", f"{authority.address}/mcp")
    assert login.authorization_server is not None
    assert str(login.authorization_server.issuer) == authority.put(issuer)


@pytest.mark.parametrize(
    ("token", "expires_in", "scope"),
    [
        (json.dumps(TOKENS | {"expires_in": 3599.98}), 3599, None),
        (json.dumps(TOKENS | {"expires_in": "3600"}), 3600, None),
        (json.dumps(TOKENS | {"expires_in": None, "token_type": None}), None, None),
        (
            json.dumps(TOKENS | {"scope": ["read", "write"], "refresh_token": None}),
            3600,
            "read write",
        ),
        (urlencode(TOKENS | {"scope": "repo,gist"}), 3600, "repo gist"),
        ("\ufeff" + json.dumps(TOKENS), 3600, None),
    ],
)
async def test_a_careless_token_answer_is_read(
    authority: Authority, logins: Logins, token: str, expires_in: int | None, scope: str | None
) -> None:
    authority.token = token

    assert await _sign_in(authority, logins)

    tokens = (await logins.read("x", f"{authority.address}/mcp")).tokens
    assert tokens is not None
    assert (tokens.access_token, tokens.expires_in, tokens.scope) == (TOKEN, expires_in, scope)
    assert authority.asked_for_json == ["application/json"]


async def test_members_that_say_nothing_are_left_out(authority: Authority, logins: Logins) -> None:
    authority.metadata = {"scopes_supported": "read", "op_tos_uri": "", "revocation_endpoint": None}
    authority.registered = {
        "client_uri": "",
        "client_secret": None,
        "client_id_issued_at": 1.5,
        "scope": ["read"],
    }

    assert await _sign_in(authority, logins)


CHECK = "run `kronk-agent mcp login x` again, or check mcp_servers.x.oauth"


@pytest.mark.parametrize(
    ("status", "token", "said"),
    [
        (
            200,
            f"error=bad_verification_code&error_description=It+is+old&x={TOKEN}",
            f"Token exchange failed (400): bad_verification_code: It is old): {CHECK}",
        ),
        (
            401,
            '{"error": "invalid_client", "hint": "' + TOKEN + '"}',
            "Token exchange failed (401): invalid_client): "
            "correct mcp_servers.x.oauth.client_id and client_secret",
        ),
        (
            200,
            f"Here you are: {TOKEN}",
            f"Invalid token response: access_token: Field required): {CHECK}",
        ),
        (200, json.dumps({"token": TOKEN}), "access_token: Field required"),
        (
            200,
            json.dumps(TOKENS | {"token_type": "DPoP"}),
            f"Invalid token response: token_type: Input should be 'Bearer'): {CHECK}",
        ),
    ],
)
async def test_a_login_that_fails_says_what_to_do_and_not_the_token(
    authority: Authority, logins: Logins, status: int, token: str, said: str
) -> None:
    authority.token_status, authority.token = status, token

    with pytest.raises(ServerUnavailableError) as caught:
        await _sign_in(authority, logins)

    words = str(caught.value)
    assert words.startswith("MCP server 'x' did not let us sign in (")
    assert said in words
    assert TOKEN not in words


async def test_another_issuer_is_refused(authority: Authority, logins: Logins) -> None:
    authority.named, authority.issuer = "O/tenant", "O/other"

    with pytest.raises(ServerUnavailableError) as caught:
        await _sign_in(authority, logins)

    assert str(caught.value).endswith(": ask the server's operator to correct its issuer")
