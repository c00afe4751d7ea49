"""Which model a request means: by its id, by an alias, or without a word; and how it thinks."""

from __future__ import annotations

from typing import Any

import pytest
from api.support import running, scripted

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.server import ServerConfig

SAID = [{"role": "user", "content": "Hi"}]
ALIASES = {"gpt-4o": "scripted", "claude-*": "agent/default", "*": "scripted"}
DOORS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "Hi", "store": False},
    "/v1/messages": {"messages": SAID, "max_tokens": 9},
    "/api/chat": {"messages": SAID, "stream": False},
    "/api/generate": {"prompt": "Hi", "stream": False},
}


def config(**server: Any) -> Config:
    return Config(tools=(), server=ServerConfig(**server))


@pytest.mark.parametrize("path", DOORS)
async def test_an_alias_stands_for_a_model_or_an_agent(path: str) -> None:
    model = scripted("Hi.", "Hi.", "Hi.")
    async with running(model, config=config(model_aliases=ALIASES)) as server:
        answers = [
            await server.post(path, model=name, **DOORS[path])
            for name in ("gpt-4o", "claude-sonnet-5", "whatever")
        ]

    assert [answer.status_code for answer in answers] == [200] * 3
    # An agent has instructions of its own.
    assert [len(request.messages) for request in model.requests] == [1, 2, 1]


@pytest.mark.parametrize("path", [path for path in DOORS if path.startswith("/v1")])
async def test_an_answer_names_the_model_that_gave_it(path: str) -> None:
    async with running(scripted("Hi.", "Hi."), config=config(model_aliases=ALIASES)) as server:
        aliased = (await server.post(path, model="gpt-4o", **DOORS[path])).json()
        default = (await server.post(path, **DOORS[path])).json()

    assert (aliased["model"], default["model"]) == ("scripted", "scripted")


async def test_names_of_models_and_agents_come_before_aliases() -> None:
    aliases = {"scripted": "agent/default", "agent/default": "scripted"}
    model = scripted("Hi.", "Hi.")
    async with running(model, config=config(model_aliases=aliases)) as server:
        for name in aliases:
            await server.post("/v1/chat/completions", model=name, messages=SAID)
        one = (await server.http.get("/v1/models/scripted")).json()

    assert [len(request.messages) for request in model.requests] == [1, 2]
    assert one["kind"] == "model"


async def test_an_alias_of_a_model_there_is_not_says_which() -> None:
    async with running(scripted(), config=config(model_aliases={"*": "qwen"})) as server:
        answer = await server.post("/v1/chat/completions", model="gpt-4o", messages=SAID)
        shown = await server.http.get("/v1/models/gpt-4o")

    assert answer.status_code == 404
    assert "unknown model 'qwen'" in answer.json()["error"]["message"]
    assert shown.status_code == 404


async def test_an_alias_of_an_agent_is_for_keys_that_are_for_agents(own_folders: None) -> None:
    headers = {"x-api-key": KeyFile().create("mine", scopes=("generate",))}
    served = config(model_aliases=ALIASES, require_api_key=True)
    async with running(scripted("Hi."), config=served) as server:
        body = {"messages": SAID}
        agent = await server.http.post(
            "/v1/chat/completions", json={**body, "model": "claude-x"}, headers=headers
        )
        plain = await server.http.post(
            "/v1/chat/completions", json={**body, "model": "gpt-4o"}, headers=headers
        )

    assert (agent.status_code, plain.status_code) == (403, 200)


async def test_plain_models_think_as_the_server_says_where_the_request_does_not() -> None:
    model = scripted("Hi.", "Hi.", "Hi.")
    served = config(reasoning="off", reasoning_budget=50)
    async with running(model, config=served) as server:
        await server.post("/v1/chat/completions", messages=SAID)
        await server.post("/v1/chat/completions", messages=SAID, enable_thinking=True)
        await server.post("/v1/messages", messages=SAID, max_tokens=9)

    assert [request.enable_thinking for request in model.requests[:2]] == [False, True]
    assert [request.reasoning_budget for request in model.requests[:2]] == [50, 50]
    assert model.requests[2].is_thinking_enabled is False
