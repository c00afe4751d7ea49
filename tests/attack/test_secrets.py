"""A secret stands in no error, no line of the log and no metric, however something fails."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

import anyio
import httpx2
import pytest
from api.support import running
from host.support import hosting, tools, unused_port
from limits import seconds
from loopback_web import LOOPBACK, Answer, LoopbackWeb

from kronk_agent import Config, Message
from kronk_agent.chat.remote import RemoteChatModel, Upstream
from kronk_agent.cli.logs import logging_to_stderr
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ConfigError, KronkError
from kronk_agent.host.oauth.authenticate import authenticate
from kronk_agent.host.oauth.flow import Logins
from kronk_agent.host.oauth.login import sign_in
from kronk_agent.host.oauth.token_store import EncryptedFiles
from kronk_agent.model import ChatRequest
from kronk_agent.sessions.database import Database
from kronk_agent.testing import ScriptedModel, collect, invoke
from kronk_tools.search import SearchQuery
from kronk_tools.search.providers import ProviderType, search_provider
from kronk_tools.web_fetch import web_fetch_tool

DOOR = "secrets in errors, logs and metrics"

MARK = "hunter2"
"""In each of these secrets, and in nothing else."""
HEADER = f"{MARK}-header"
KEY = f"{MARK}-key/+="
QUERY = f"{MARK}-query"
PASSWORD = f"{MARK}-pass@word"
QUOTED_PASSWORD = quote(PASSWORD, safe="")
TOKEN = f"{MARK}-token"
CODE = f"{MARK}-code"
ENV = f"{MARK}-env"
FILE = f"{MARK}-file"
ARGUMENT = f"{MARK}-argument"
IN_PATH = f"{MARK}0123456789abcdefghij"

Told: TypeAlias = Awaitable[str]

ECHOES: dict[str, Callable[[str], Answer]] = {
    "a page": lambda said: Answer(said.encode()),
    "JSON": lambda said: Answer(json.dumps({"said": said}).encode(), "application/json"),
    "an error of the protocol": lambda said: Answer(
        json.dumps(
            {"jsonrpc": "2.0", "id": "server-error", "error": {"code": -1, "message": said}}
        ).encode(),
        "application/json",
    ),
    **{
        f"HTTP {status}": lambda said, status=status: Answer(  # type: ignore[misc]
            json.dumps({"error": {"message": said}}).encode(), "application/json", status
        )
        for status in (302, 400, 401, 403, 404, 405, 429, 500, 503)
    },
}
"""How a server answers that repeats all it was told."""


def echoing(web: LoopbackWeb, path: str, answer: Callable[[str], Answer]) -> None:
    """Repeat every request to the path: its line, its headers and its body."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        request = web.requests[-1]
        said = f"{request.path} {request.headers} {request.body.decode(errors='replace')}"
        made = answer(said)
        handler.send_response(made.status)
        handler.send_header("Content-Type", made.content_type or "text/plain")
        if made.status == 302:
            handler.send_header("Location", f"/elsewhere?{request.path.partition('?')[2]}")
        handler.send_header("Content-Length", str(len(made.body)))
        handler.end_headers()
        handler.wfile.write(made.body)

    web.answers[path] = respond


@pytest.fixture
def seen() -> Iterator[Callable[[str], None]]:
    """Checks what was told, and all that the log shows with ``--debug``."""
    log = io.StringIO()

    def check(told: str) -> None:
        assert told
        for text in (told, log.getvalue()):
            at = text.find(MARK)
            assert at < 0, text[max(at - 300, 0) : at + 100]

    with contextlib.redirect_stderr(log), logging_to_stderr(debug=True):
        logging.getLogger(__name__).debug("it begins")
        yield check
    assert "DEBUG" in log.getvalue(), "the log was there"


# --- MCP servers --------------------------------------------------------------------------------


async def failure_of(server: McpServerConfig, folder: Path) -> str:
    """What is told of a server that does not start."""
    with anyio.fail_after(seconds(20)):
        async with hosting({"x": server}, folder, authenticate=authenticate) as host:
            await host.wait_ready()
            (status,) = host.statuses()
            return f"{status.error}"


@pytest.mark.parametrize("name", ECHOES)
@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_server_on_the_network_that_repeats_all_it_is_told(
    web: LoopbackWeb, tmp_path: Path, seen: Callable[[str], None], name: str, protocol: str
) -> None:
    echoing(web, f"/{IN_PATH}/mcp", ECHOES[name])
    place = f"{web.url.replace('//', f'//me:{QUOTED_PASSWORD}@')}/{IN_PATH}/mcp"
    server = McpServerConfig.model_validate(
        {
            "url": f"{place}?key={QUERY}",
            "headers": {"Authorization": f"Bearer {HEADER}", "X-Key": KEY},
            "protocol": protocol,
            "startup_timeout": 1,
        }
    )

    seen(await failure_of(server, tmp_path))


async def test_a_server_on_the_network_that_is_not_there(
    tmp_path: Path, seen: Callable[[str], None]
) -> None:
    url = f"http://me:{PASSWORD}@127.0.0.1:{unused_port()}/{IN_PATH}?key={QUERY}"
    seen(await failure_of(McpServerConfig(url=url), tmp_path))


PROGRAMS = {
    "last words": "sys.exit(said)",
    "last words in JSON": "sys.exit(json.dumps(said))",
    "noise": "print(said, flush=True); sys.stdin.read()",
    "noise that is cut": "print('x' * 60, said * 9, flush=True); sys.stdin.read()",
    "JSON that is not MCP": "print(json.dumps({'said': said}), flush=True); sys.stdin.read()",
    "an error": (
        "id = json.loads(sys.stdin.readline())['id']; "
        "print(json.dumps({'jsonrpc': '2.0', 'id': id, 'error': {'code': -32000, "
        "'message': said}}), flush=True); sys.stdin.read()"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_that_repeats_all_it_is_told(
    tmp_path: Path, seen: Callable[[str], None], name: str
) -> None:
    (tmp_path / "env").write_text(f"FROM_FILE={FILE}\n")
    said = "said = ' '.join([os.environ['A'], os.environ['FROM_FILE'], *sys.argv])"
    server = McpServerConfig(
        command=sys.executable,
        args=(
            "-c",
            f"import json, os, sys; {said}; {PROGRAMS[name]}",
            "--api-key",
            ARGUMENT,
            f"--token={ARGUMENT}",
            f"https://me:{PASSWORD}@x.example/",
        ),
        env={"A": ENV},
        env_file=tmp_path / "env",
        protocol="legacy",
        startup_timeout=2,
    )

    seen(await failure_of(server, tmp_path))


async def test_an_env_file_that_cannot_be_used(tmp_path: Path, seen: Callable[[str], None]) -> None:
    (tmp_path / "env").write_text(f"{FILE}\n'{FILE}")
    server = McpServerConfig(command=sys.executable, env_file=tmp_path / "env")

    seen(await failure_of(server, tmp_path))


async def test_a_call_that_fails(tmp_path: Path, seen: Callable[[str], None]) -> None:
    server = McpServerConfig(
        command=sys.executable, args=("-m", "kronk_mcp_servers.demo"), env={"A": ENV}
    )
    with anyio.fail_after(seconds(20)):
        async with hosting({"x": server}, tmp_path) as host:
            await host.wait_ready()
            output = await invoke(tools(host)["x__fail"], {"reason": f"the key {ENV} is wrong"})

    assert output.is_error
    seen(str(output))


# --- OAuth --------------------------------------------------------------------------------------


def echo_form(request_body: str) -> str:
    return json.dumps({name: values[0] for name, values in parse_qs(request_body).items()})


TOKEN_ANSWERS: dict[str, Callable[[str], Answer]] = {
    "a form": lambda said: Answer(f"access_token={TOKEN}&token_type=bearer".encode(), "text/plain"),
    "a bare token": lambda said: Answer(TOKEN.encode(), "text/plain"),
    "JSON of other types": lambda said: Answer(
        json.dumps({"access_token": [TOKEN], "expires_in": TOKEN}).encode(), "application/json"
    ),
    "JSON that is cut": lambda said: Answer(
        f'{{"access_token": "{TOKEN}"'.encode(), "application/json"
    ),
    "a refusal that repeats": lambda said: Answer(
        json.dumps({"error": "invalid_grant", "error_description": said}).encode(),
        "application/json",
        400,
    ),
    "a refusal that is a page": lambda said: Answer(f"<h1>{TOKEN} {said}".encode(), status=500),
    "a refusal with a token": lambda said: Answer(
        json.dumps({"refresh_token": TOKEN}).encode(), "application/json", 403
    ),
}


def authority(web: LoopbackWeb, token: Callable[[str], Answer]) -> None:
    """An MCP server that wants a login, and its authorization server."""
    resource = f"{web.url}/.well-known/oauth-protected-resource"
    challenge = {"WWW-Authenticate": f'Bearer resource_metadata="{resource}"'}
    web.answers["/mcp"] = Answer(status=401, headers=challenge)

    def document(path: str, **body: object) -> None:
        web.answers[path] = Answer(json.dumps(body).encode(), "application/json")

    document(
        "/.well-known/oauth-protected-resource",
        resource=f"{web.url}/mcp",
        authorization_servers=[web.url],
    )
    document(
        "/.well-known/oauth-authorization-server",
        issuer=web.url,
        authorization_endpoint=f"{web.url}/authorize",
        token_endpoint=f"{web.url}/token",
        registration_endpoint=f"{web.url}/register",
        response_types_supported=["code"],
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post", "none"],
    )
    document("/register", client_id="c", redirect_uris=["http://127.0.0.1/callback"])
    echoing(web, "/token", token)


@pytest.mark.parametrize("name", TOKEN_ANSWERS)
async def test_a_program_that_signs_in(
    web: LoopbackWeb, tmp_path: Path, seen: Callable[[str], None], name: str, own_folders: None
) -> None:
    authority(web, TOKEN_ANSWERS[name])
    oauth = {
        "flow": "client_credentials",
        "client_id": "me",
        "client_secret": KEY,
        "issuer": web.url,
    }
    server = McpServerConfig.model_validate({"url": f"{web.url}/mcp", "oauth": oauth})

    told = await failure_of(server, tmp_path)
    assert "/token" in [each.path for each in web.requests]
    seen(told)


async def sign_in_failure(web: LoopbackWeb, folder: Path, *, state: str | None = None) -> str:
    """What a person is told whose browser comes back with a code."""
    logins = Logins(EncryptedFiles(folder / "logins", folder / "key", None))

    async def browse(url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        back = {"code": CODE, "state": state or asked["state"], "iss": web.url}
        async with httpx2.AsyncClient(timeout=seconds(5)) as http:
            await http.get(asked["redirect_uri"], params=back)

    with anyio.fail_after(seconds(20)), pytest.raises(KronkError) as caught:
        await sign_in("x", McpServerConfig(url=f"{web.url}/mcp"), logins, browse)
    return str(caught.value)


@pytest.mark.parametrize("name", TOKEN_ANSWERS)
async def test_a_person_who_signs_in(
    web: LoopbackWeb, tmp_path: Path, seen: Callable[[str], None], name: str
) -> None:
    authority(web, TOKEN_ANSWERS[name])
    told = await sign_in_failure(web, tmp_path)
    assert "/token" in [each.path for each in web.requests]
    seen(told)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [TOKEN, json.dumps({"client_secret": TOKEN}), f'["{TOKEN}"]'])
async def test_a_registration_that_fails(
    web: LoopbackWeb, tmp_path: Path, seen: Callable[[str], None], status: int, body: str
) -> None:
    authority(web, TOKEN_ANSWERS["a form"])
    web.answers["/register"] = Answer(body.encode(), "application/json", status)

    seen(await sign_in_failure(web, tmp_path))


async def test_a_browser_that_comes_back_with_another_state(
    web: LoopbackWeb, tmp_path: Path, seen: Callable[[str], None]
) -> None:
    authority(web, TOKEN_ANSWERS["a form"])
    seen(await sign_in_failure(web, tmp_path, state=TOKEN))


# --- models on other servers, search, pages -----------------------------------------------------


@pytest.mark.parametrize("name", [*ECHOES, "an event", "nobody"])
async def test_a_model_on_another_server(
    web: LoopbackWeb, seen: Callable[[str], None], name: str
) -> None:
    def event(said: str) -> Answer:
        body = json.dumps({"error": {"message": said}})
        return Answer(f"data: {body}\n\n".encode(), "text/event-stream")

    echoing(web, f"/{IN_PATH}/v1/chat/completions", ECHOES.get(name, event))
    base = f"http://127.0.0.1:{unused_port()}" if name == "nobody" else web.url
    upstream = Upstream(url=f"{base}/{IN_PATH}/v1", model="m", api_key=KEY, context_length=4096)
    request = ChatRequest(messages=(Message.user("Hello"),))

    with anyio.fail_after(seconds(20)):
        async with RemoteChatModel.open(upstream) as model:
            with pytest.raises(KronkError) as caught:
                await collect(model.stream(request))

    seen(str(caught.value))


SEARCH_PATHS = {"brave": "/res/v1/web/search", "tavily": "/search", "exa": "/search"}


@pytest.mark.parametrize("name", ["a page", "HTTP 401", "HTTP 500", "HTTP 429", "HTTP 302"])
@pytest.mark.parametrize("type", ["brave", "tavily", "exa", "serper", "searxng"])
async def test_a_search_provider(
    web: LoopbackWeb, seen: Callable[[str], None], type: ProviderType, name: str
) -> None:
    echoing(web, SEARCH_PATHS.get(type, "/search"), ECHOES[name])
    key = None if type == "searxng" else KEY
    base_url = web.url.replace("//", "//me:secret-hunter2@") if key is None else web.url
    provider = search_provider(type, api_key=key, base_url=base_url)

    with anyio.fail_after(seconds(10)), pytest.raises(KronkError) as caught:
        await provider.search(SearchQuery("tea", 5))

    assert web.requests
    seen(str(caught.value))


async def test_a_proxy_that_is_not_there(seen: Callable[[str], None]) -> None:
    proxy = f"http://me:{QUOTED_PASSWORD}@127.0.0.1:{unused_port()}"
    fetch = web_fetch_tool(proxy=proxy, robots=False, allow_private=[LOOPBACK])
    provider = search_provider("brave", api_key=KEY, base_url="http://brave.example", proxy=proxy)

    with anyio.fail_after(seconds(20)):
        with pytest.raises(KronkError) as page:
            await invoke(fetch, {"url": "http://page.example/"})
        with pytest.raises(KronkError) as found:
            await provider.search(SearchQuery("tea", 5))

    seen(f"{page.value} {found.value}")


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_repeats_all_it_is_told(
    web: LoopbackWeb, seen: Callable[[str], None], status: int
) -> None:
    echoing(web, "http://page.example/", lambda said: Answer(said.encode(), status=status))
    proxy = web.url.replace("//", f"//me:{QUOTED_PASSWORD}@")
    fetch = web_fetch_tool(proxy=proxy, robots=False, allow_private=[LOOPBACK])

    with anyio.fail_after(seconds(20)), pytest.raises(KronkError) as caught:
        await invoke(fetch, {"url": "http://page.example/"})

    assert web.requests
    seen(str(caught.value))


async def test_a_database_that_is_not_there(seen: Callable[[str], None]) -> None:
    pytest.importorskip("asyncpg")
    url = f"postgresql://me:{QUOTED_PASSWORD}@127.0.0.1:{unused_port()}/sessions"

    with anyio.fail_after(seconds(20)), pytest.raises(KronkError) as caught:
        async with Database.open(url):
            pass

    seen(str(caught.value))


# --- the configuration --------------------------------------------------------------------------

CONFIGS = [
    f"models: {{m: {{url: 'http://a/v1', name: m, api_key: [{KEY}]}}}}",
    f"models: {{m: {{url: 'http://me:{PASSWORD}@a/v1', name: m}}}}",
    f"models: {{m: {{url: 'http://a/v1?key={QUERY}', name: m}}}}",
    "agent: {max_steps: '${SECRET}'}",
    "sampling: {temperature: '${SECRET}'}",
    "mcp_servers: {x: {url: '${SECRET}'}}",
    f"mcp_servers: {{x: {{url: 'htp://me:{PASSWORD}@a/mcp'}}}}",
    f"mcp_servers: {{x: {{url: 'ws://a/{IN_PATH}?key={QUERY}'}}}}",
    f"mcp_servers: {{x: {{url: 'http://a', headers: {{Authorization: [{HEADER}]}}}}}}",
    f"mcp_servers: {{x: {{url: 'http://a', headers: 'Authorization: Bearer {HEADER}'}}}}",
    f"mcp_servers: {{x: {{command: y, env: 'A={ENV}'}}}}",
    f"mcp_servers: {{x: {{command: y, env: {{A: [{ENV}]}}}}}}",
    f"mcp_servers: {{x: {{command: y, args: '--token {ARGUMENT}'}}}}",
    f"mcp_servers: {{x: {{command: y, args: '--token={ARGUMENT} z'}}}}",
    f"mcp_servers: {{x: {{url: 'http://a', oauth: {{client_secret: [{KEY}]}}}}}}",
    f"mcp_servers: {{x: {{url: 'http://a', oauth: {{client_secret: '{KEY}'}}}}}}",
    f"web_search: {{proxy: 'me:{PASSWORD}@proxy'}}",
    f"web_fetch: {{proxy: 'socks://me:{PASSWORD}@proxy'}}",
    f"web_search: {{providers: [{{type: brave, api_key: [{KEY}]}}]}}",
    f"web_search: {{providers: [{{type: brave, api_key: '{KEY}', base_url: 'ws://a?{QUERY}'}}]}}",
    f"sessions: {{url: 'mysql://me:{PASSWORD}@a/b'}}",
    f"sessions: {{url: 'oracle://me:{PASSWORD}@a:port/b'}}",
    f"server: {{api_keys: '{KEY}'}}",
    f"server: {{api_keys: [[{KEY}]]}}",
]


@pytest.mark.parametrize("text", CONFIGS)
def test_a_configuration_that_is_wrong(
    tmp_path: Path, seen: Callable[[str], None], text: str
) -> None:
    (tmp_path / "kronk.yaml").write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "kronk.yaml", environ={"SECRET": f"{MARK} {KEY}"})

    seen(str(caught.value))


# --- the HTTP API -------------------------------------------------------------------------------


TRIES = (*ECHOES, *PROGRAMS, *TOKEN_ANSWERS, *CONFIGS)
"""Ways in which something fails that knows a secret."""


@asynccontextmanager
async def serving_guests(web: LoopbackWeb) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    config = Config.model_validate({"tools": [], "server": {"allow_server_urls": [web.url]}})
    async with running(ScriptedModel(["Hi."] * 9), config=config, tools=()) as server:

        async def ask(**tool: Any) -> str:
            given = {"type": "mcp", "server_label": "x", "server_url": f"{web.url}/mcp", **tool}
            answer = await server.post(
                "/v1/responses", model="scripted", input="Hello", tools=[given]
            )
            metrics = await server.http.get("/metrics")
            assert answer.status_code >= 400
            return answer.text + metrics.text

        yield ask


async def test_a_server_that_a_request_brings_along(
    web: LoopbackWeb, seen: Callable[[str], None], own_folders: None
) -> None:
    told = []
    async with serving_guests(web) as ask:
        for name in ("a page", "HTTP 401", "HTTP 500"):
            echoing(web, "/mcp", ECHOES[name])
            told.append(await ask(authorization=HEADER, headers={"X-Key": KEY}))
        told.append(await ask(authorization=[HEADER]))
        told.append(await ask(headers={"X-Key": [KEY]}))
        told.append(await ask(headers={"X-Key": f"{KEY}\n"}))
        told.append(await ask(authorization=HEADER, headers={"Authorization": KEY}))
        told.append(await ask(server_url=f"http://me:{PASSWORD}@elsewhere.example/?{QUERY}"))

    seen("\n".join(told))


async def test_a_key_that_is_wrong(seen: Callable[[str], None], own_folders: None) -> None:
    told = []
    config = Config.model_validate(
        {"tools": [], "server": {"api_keys": [f"{KEY}-right-and-long"], "require_api_key": True}}
    )
    async with running(ScriptedModel([]), config=config, tools=()) as server:
        for headers in (
            {"Authorization": f"Bearer {HEADER}"},
            {"x-api-key": HEADER},
            {"Authorization": HEADER},
        ):
            for path in ("/v1/models", "/metrics", "/v1/messages", "/api/tags", "/api/chat"):
                answer = await server.http.get(path, headers=headers)
                told.append(answer.text + str(answer.headers))

    seen("\n".join(told))
