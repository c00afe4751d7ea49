"""What every request must pass before it is answered."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from api.support import Server, running, scripted
from fastapi.routing import iter_route_contexts

from kronk_agent import Config
from kronk_agent.api import create_app
from kronk_agent.api.middleware.api_keys import DEFAULT_SCOPES, KeyFile
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Turn

pytestmark = pytest.mark.usefixtures("own_folders")

HELLO: Any = [{"role": "user", "content": "Hello"}]
ASK: dict[str, Any] = {"model": "scripted", "messages": HELLO}


def serving(*turns: Turn, **server: Any) -> Any:
    return running(scripted(*turns), config=Config(tools=(), server=ServerConfig(**server)))


async def status_of(server: Server, *, headers: dict[str, str], path: str = "/v1/models") -> int:
    return (await server.http.get(path, headers=headers)).status_code


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("localhost:11435", (), 200),
        ("127.0.0.1", (), 200),
        ("[::1]:1", (), 200),
        ("evil.example", (), 403),
        ("127.0.0.1.evil.example", (), 403),
        ("127.0.0.1:21301.evil.example", (), 403),
        ("evil.example@127.0.0.1", (), 403),
        ("127.0.0.1/", (), 403),
        ("[::1]evil.example", (), 403),
        ("LocalHost:80", (), 200),
        ("KRONK.lan", ("kronk.Lan",), 200),
        ("[", (), 403),
        ("kronk.lan:80", ("kronk.lan",), 200),
    ],
)
async def test_a_server_on_loopback_answers_to_its_own_names_only(
    host: str, allowed: tuple[str, ...], status: int
) -> None:
    async with serving(allowed_hosts=allowed) as server:
        assert await status_of(server, headers={"host": host}) == status


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        ("https://evil.example", (), 403),
        ("null", (), 403),
        ("https://app.example", ("https://app.example",), 200),
        ("https://evil.example", ("https://app.example",), 403),
        ("https://any.example", ("*",), 200),
    ],
)
async def test_pages_may_ask_only_if_they_are_allowed_to(
    origin: str, allowed: tuple[str, ...], status: int
) -> None:
    async with serving(allowed_origins=allowed) as server:
        response = await server.http.get("/v1/models", headers={"origin": origin})

    assert response.status_code == status
    assert ("access-control-allow-origin" in response.headers) is (status == 200)


async def test_a_browser_is_told_what_an_allowed_page_may_send() -> None:
    page = "https://app.example"
    asked = {"origin": page, "access-control-request-method": "POST"}
    async with serving(allowed_origins=(page,), require_api_key=True) as server:
        response = await server.http.options("/v1/chat/completions", headers=asked)

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == page


async def test_our_own_pages_may_ask() -> None:
    async with serving() as server:
        other_scheme = server.url.replace("http:", "https:")
        assert await status_of(server, headers={"origin": server.url}) == 200
        assert await status_of(server, headers={"origin": other_scheme}) == 403


async def test_without_a_key_there_is_only_health() -> None:
    token = KeyFile().create("mine")
    async with serving("Hi", require_api_key=True) as server:
        assert await status_of(server, headers={}) == 401
        assert await status_of(server, headers={}, path="/health") == 200
        assert await status_of(server, headers={"authorization": "Bearer kronk-x"}) == 401
        assert await status_of(server, headers={"authorization": f"Bearer {token}"}) == 200
        assert await status_of(server, headers={"x-api-key": token}) == 200


async def test_a_key_that_is_revoked_opens_nothing_from_then_on() -> None:
    keys = KeyFile()
    token = keys.create("mine")
    async with serving(require_api_key=True) as server:
        before = await status_of(server, headers={"x-api-key": token})
        keys.revoke("mine")
        after = await status_of(server, headers={"x-api-key": token})

    assert (before, after) == (200, 401)


async def test_a_key_of_the_configuration_opens_what_others_do() -> None:
    async with serving(require_api_key=True, api_keys=("a long secret",)) as server:
        assert await status_of(server, headers={"x-api-key": "a long secret"}) == 200


async def test_a_key_is_for_what_it_was_made_for() -> None:
    headers = {"x-api-key": KeyFile().create("mine", scopes=("generate",))}
    async with serving("Hi", require_api_key=True) as server:
        plain = await server.http.post("/v1/chat/completions", json=ASK, headers=headers)
        agent = await server.http.post(
            "/v1/chat/completions", json=ASK | {"model": "agent/default"}, headers=headers
        )
        metrics = await status_of(server, headers=headers, path="/metrics")

    assert (plain.status_code, agent.status_code, metrics) == (200, 403, 403)
    assert agent.json()["error"]["code"] == "scope_missing"


async def test_every_route_is_for_the_keys_it_should_be_for() -> None:
    """A new route has to be added here."""
    good_for_nothing = {"x-api-key": KeyFile().create("none", scopes=())}
    needed: dict[str, set[str]] = {}
    async with serving(require_api_key=True) as server:
        for route in iter_route_contexts(create_app(server.runtime).routes):
            assert route.path
            assert route.methods
            method = min(route.methods)  # GET before HEAD, which only / has alone
            path = route.path.replace("{", "").replace("}", "")
            stranger = await server.http.request(method, path)
            answer = await server.http.request(method, path, headers=good_for_nothing)
            what = "nobody's" if stranger.status_code != 401 else "anybody's"
            if answer.status_code == 403:
                error = answer.json()["error"]
                words = error if isinstance(error, str) else error["message"]
                what = words.split("lacks scope '")[1].split("'")[0]
            needed.setdefault(what, set()).add(f"{method} {route.path}")

    assert needed == {
        "nobody's": {"HEAD /", "GET /", "GET /health", "GET /v1/health"},
        "anybody's": {
            "GET /v1/models",
            "GET /v1/models/{id:path}",
            "GET /models",
            "GET /models/{id:path}",
            "GET /api/version",
            "GET /api/tags",
            "GET /api/ps",
            "POST /api/show",
        },
        "embed": {
            "POST /v1/embeddings",
            "POST /v1/rerank",
            "POST /v1/reranking",
            "POST /rerank",
            "POST /reranking",
            "POST /embedding",
            "POST /embeddings",
            "POST /api/embed",
            "POST /api/embeddings",
        },
        "admin": {"GET /metrics", "GET /slots"},
        "generate": {
            "GET /docs",
            "GET /openapi.json",
            "POST /v1/chat/completions",
            "POST /chat/completions",
            "POST /v1/chat/completions/input_tokens",
            "POST /chat/completions/input_tokens",
            "POST /v1/apply-template",
            "POST /apply-template",
            "POST /v1/messages",
            "POST /v1/messages/count_tokens",
            "POST /v1/responses",
            "POST /v1/responses/input_tokens",
            "POST /v1/responses/compact",
            "GET /v1/responses/{id}",
            "DELETE /v1/responses/{id}",
            "POST /v1/responses/{id}/cancel",
            "GET /v1/responses/{id}/input_items",
            "POST /responses",
            "POST /responses/input_tokens",
            "POST /responses/compact",
            "GET /responses/{id}",
            "DELETE /responses/{id}",
            "POST /responses/{id}/cancel",
            "GET /responses/{id}/input_items",
            "POST /v1/conversations",
            "GET /v1/conversations/{id}",
            "POST /v1/conversations/{id}",
            "DELETE /v1/conversations/{id}",
            "POST /v1/conversations/{id}/items",
            "GET /v1/conversations/{id}/items",
            "GET /v1/conversations/{id}/items/{item_id}",
            "POST /v1/completions",
            "POST /completion",
            "POST /completions",
            "POST /infill",
            "GET /props",
            "POST /v1/tokenize",
            "POST /v1/detokenize",
            "POST /tokenize",
            "POST /detokenize",
            "POST /api/chat",
            "POST /api/generate",
            "POST /api/pull",
            "POST /api/push",
            "POST /api/create",
            "POST /api/copy",
            "DELETE /api/delete",
        },
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "web_search_options": {}}),
        ("/v1/responses", {"input": "Hello", "tools": [{"type": "web_search"}]}),
        (
            "/v1/messages",
            {
                "messages": HELLO,
                "max_tokens": 5,
                "tools": [{"type": "web_search_20250305", "name": "web_search"}],
            },
        ),
    ],
)
async def test_tools_that_run_here_are_for_keys_that_are_for_agents(
    path: str, body: dict[str, Any]
) -> None:
    headers = {"x-api-key": KeyFile().create("mine", scopes=("generate",))}
    config = Config(server=ServerConfig(require_api_key=True))
    async with running(scripted(), config=config) as server:
        response = await server.http.post(path, json=body | {"model": "scripted"}, headers=headers)

    assert response.status_code == 403, response.text
    assert "lacks scope 'agents' (it has generate)" in response.json()["error"]["message"]


async def test_a_key_that_asks_too_often_is_told_when_to_come_back() -> None:
    headers = {"x-api-key": KeyFile().create("mine", requests_per_minute=1)}
    async with serving(require_api_key=True) as server:
        first = await server.http.get("/v1/models", headers=headers)
        second = await server.http.get("/v1/models", headers=headers)

    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("limits", "status"), [({"max_requests": 1}, 503), ({"require_api_key": True}, 429)]
)
async def test_one_request_too_many_is_refused_at_once(limits: dict[str, Any], status: int) -> None:
    headers = {"x-api-key": KeyFile().create("mine", max_concurrent=1)}
    begun, end = anyio.Event(), anyio.Event()

    def turn(_: ChatRequest) -> Any:
        begun.set()
        return [end, "Hi"]

    answers: list[int] = []
    refused: list[httpx2.Response] = []
    async with serving(turn, **limits) as server, anyio.create_task_group() as tasks:

        async def ask() -> None:
            response = await server.http.post("/v1/chat/completions", json=ASK, headers=headers)
            answers.append(response.status_code)

        tasks.start_soon(ask)
        await begun.wait()
        refused.append(await server.http.get("/v1/models", headers=headers))
        end.set()

    assert [(r.status_code, r.headers["retry-after"]) for r in refused] == [(status, "1")]
    assert answers == [200]


@pytest.mark.parametrize("says_how_long", [True, False])
async def test_a_request_that_is_too_large_is_refused(says_how_long: bool) -> None:
    async def body() -> Any:
        yield b" " * 2000

    content = b" " * 2000 if says_how_long else body()
    async with serving(max_body_bytes=1024) as server:
        response = await server.http.post(
            "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
        )

    assert response.status_code == 413
    assert "1024" in response.json()["error"]["message"]


async def test_refusals_are_in_the_envelope_of_the_protocol() -> None:
    async with serving(require_api_key=True) as server:
        openai = await server.http.post("/v1/chat/completions", json=ASK)
        anthropic = await server.http.post("/v1/messages", json=ASK)
        ollama = await server.http.post("/api/chat", json=ASK)

    assert openai.json()["error"]["type"] == "authentication_error"
    assert anthropic.json()["error"]["type"] == "authentication_error"
    assert anthropic.json()["type"] == "error"
    assert ollama.json() == {
        "error": "API key missing: send `Authorization: Bearer KEY` or `x-api-key: KEY`"
    }


def test_keys_are_kept_as_hashes_that_nobody_else_reads() -> None:
    keys = KeyFile()
    token = keys.create("mine")

    assert token not in keys.path.read_text(encoding="utf-8")
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert [(key.name, key.scopes) for key in KeyFile().all()] == [("mine", DEFAULT_SCOPES)]
