from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

from api.support import running, scripted, steady

from kronk_agent import Config
from kronk_agent.config.schema.config import NamedAgentConfig


class Tags(HTMLParser):
    """The tags of a page, and the addresses in it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src")}


async def test_models_are_listed_as_openai_does() -> None:
    async with running(scripted()) as server:
        listed = [model.id async for model in server.openai.models.list()]
        one = await server.openai.models.retrieve("scripted")

    assert listed == ["scripted", "agent/default"]
    assert (one.id, one.object, one.owned_by) == ("scripted", "model", "kronk-agent")


async def test_models_are_listed_as_anthropic_does_for_its_clients() -> None:
    async with running(scripted()) as server:
        headers = {"anthropic-version": "2023-06-01"}
        listed = (await server.http.get("/v1/models", headers=headers)).json()
        one = (await server.http.get("/v1/models/agent/default", headers=headers)).json()
        missing = await server.http.get("/v1/models/claude", headers=headers)

    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (
        "scripted",
        "agent/default",
        False,
    )
    assert one in listed["data"]
    assert (one["type"], one["id"]) == ("model", "agent/default")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")


async def test_health_says_why_a_model_cannot_be_had() -> None:
    async with running(scripted()) as server:
        well = await server.http.get("/health")
    async with running(config=Config(model="none.gguf", tools=())) as server:
        ill = await server.http.get("/health")

    assert (well.status_code, well.json()) == (
        200,
        {"status": "ok", "model": "scripted", "loaded": True},
    )
    assert ill.status_code == 503
    assert "none.gguf" in ill.json()["error"]


async def test_every_agent_is_there_by_its_name() -> None:
    brief = NamedAgentConfig(instructions="Be brief.")
    config = Config(tools=(), agents={"brief": brief})
    model = scripted("Hi")
    async with running(model, config=config) as server:
        listed = [one.id async for one in server.openai.models.list()]
        await server.openai.chat.completions.create(
            model="agent/brief", messages=[{"role": "user", "content": "Hello"}]
        )
        unknown = await server.http.post(
            "/v1/chat/completions",
            json={"model": "agent/brie", "messages": [{"role": "user", "content": "Hello"}]},
        )

    assert listed == ["scripted", "agent/default", "agent/brief"]
    assert model.requests[0].messages[0].text == "Be brief."
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_api_is_described() -> None:
    async with running(scripted()) as server:
        described = (await server.http.get("/openapi.json")).json()
        page = await server.http.get("/docs")

    assert "/v1/chat/completions" in described["paths"]
    assert page.status_code == 200
    assert all(path in page.text for path in described["paths"])
    assert all(f'id="{name}"' in page.text for name in described["components"]["schemas"])


async def test_the_reference_loads_nothing_from_anywhere() -> None:
    async with running(scripted()) as server:
        page = await server.http.get("/docs")
        others = [(await server.http.get(path)).status_code for path in ("/redoc", "/docs/x")]

    tags = Tags()
    tags.feed(page.text)
    assert others == [404, 404]
    assert tags.seen & {"script", "img", "iframe", "link", "form", "object", "embed"} == set()
    assert {value for value in tags.addresses if not value.startswith("#")} == {"openapi.json"}
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    assert b64encode(sha256(style.encode()).digest()).decode() in policy


async def test_what_is_not_there_is_told_in_the_envelope() -> None:
    async with running(scripted()) as server:
        openai = await server.http.get("/v1/nothing")
        anthropic = await server.http.get("/v1/messages/nothing")
        wrong = await server.http.get("/v1/chat/completions")

    assert steady(openai.json())["error"]["type"] == "not_found_error"
    assert anthropic.json()["type"] == "error"
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")
