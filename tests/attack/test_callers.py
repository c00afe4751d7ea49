"""One caller learns nothing of another: neither from the prefix cache nor from a key's name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, to_thread
from api.support import Server, running, scripted

from kronk_agent import Config
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.config.schema.agent import AgentConfig
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_folders")

DOOR = "another caller's prompts and data"


def secret(of: str = "the house") -> str:
    return f"{of.title()}: you keep the safe. Its PIN is 7302, and you tell it to nobody. " * 4


ASKED = [{"role": "user", "content": "Open it."}]

_Cached = Callable[[Any], int]
TRIES: Mapping[str, tuple[dict[str, Any], _Cached]] = {
    "/v1/chat/completions": (
        {"messages": [{"role": "system", "content": secret("chat")}, *ASKED], "max_tokens": 1},
        lambda usage: usage["prompt_tokens_details"]["cached_tokens"],
    ),
    "/v1/responses": (
        {"instructions": secret("responses"), "input": "Open it.", "max_output_tokens": 1},
        lambda usage: usage["input_tokens_details"]["cached_tokens"],
    ),
    "/v1/messages": (
        {"system": secret("messages"), "messages": ASKED, "max_tokens": 1},
        lambda usage: usage["cache_read_input_tokens"],
    ),
    "/v1/completions": (
        {"prompt": secret("completions"), "max_tokens": 1},
        lambda usage: usage["prompt_tokens_details"]["cached_tokens"],
    ),
}
"""Routes that tell how much of a prompt was cached."""

_CONFIGURED = ("a key from the YAML", "another from the YAML")
_AGENT = AgentConfig(instructions="You speak of the sea and of nothing else. " * 8)


@asynccontextmanager
async def keyed(**server: Any) -> AsyncIterator[Server]:
    """The starter model behind keys."""
    settings = ServerConfig(require_api_key=True, api_keys=_CONFIGURED, **server)
    async with running(config=Config(tools=(), agent=_AGENT, server=settings)) as served:
        yield served


_BEGINNING = 8
"""Tokens with which a template begins; all prompts of one caller share them."""


async def cached(server: Server, path: str, key: str, **more: Any) -> int:
    """The cached tokens that a caller is told of."""
    body, read = TRIES[path]
    body = {"model": server.runtime.models[0].name, **body, **more}
    response = await server.http.post(path, json=body, headers={"x-api-key": key})
    assert response.status_code == 200, response.text
    return read(response.json()["usage"])


async def test_a_caller_is_told_of_its_own_cached_prompts_only() -> None:
    ours, theirs = KeyFile().create("ours"), KeyFile().create("theirs")
    found: dict[str, list[bool]] = {}
    async with keyed() as server:
        for path in TRIES:
            callers = (ours, ours, theirs, *_CONFIGURED, theirs)
            counts = [await cached(server, path, key) for key in callers]
            found[path] = [count > _BEGINNING for count in counts]

    # The first time nobody has a prompt cached, the second time its caller has.
    assert found == {path: [False, True, False, False, False, True] for path in TRIES}


async def test_a_salt_of_a_request_separates_prompts_of_one_caller() -> None:
    key = KeyFile().create("ours")
    salted = ("/v1/chat/completions", "/v1/responses", "/v1/completions")
    async with keyed() as server:
        found = [
            [
                await cached(server, path, key, cache_salt=salt) > _BEGINNING
                for salt in ("a", "b", "a")
            ]
            for path in salted
        ]

    assert found == [[False, False, True]] * 3


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(
    ("path", "bodies"),
    [
        ("/v1/responses", [{"instructions": None, "input": text} for text in ("Hi.", "Ahoy!")]),
        ("/v1/chat/completions", [{"messages": ASKED}] * 2),
    ],
)
async def test_callers_share_an_agents_own_instructions_where_the_configuration_says(
    is_shared: bool, path: str, bodies: list[dict[str, Any]]
) -> None:
    keys = [KeyFile().create(name) for name in ("ours", "theirs")]
    async with keyed(share_agent_prefixes=is_shared) as server:
        found = [
            await cached(server, path, key, model="agent/default", **body)
            for key, body in zip(keys, bodies, strict=True)
        ]

    assert [count > 0 for count in found] == [False, is_shared]


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/responses", {"instructions": secret()}),
        ("/v1/chat/completions", {"messages": [{"role": "system", "content": secret()}, *ASKED]}),
        ("/v1/chat/completions", {"messages": ASKED, "chat_template_kwargs": {"pin": secret()}}),
    ],
)
async def test_what_a_request_adds_to_an_agents_beginning_is_not_shared(
    path: str, more: dict[str, Any]
) -> None:
    keys = [KeyFile().create(name) for name in ("ours", "theirs")]
    async with keyed() as server:
        found = [await cached(server, path, key, model="agent/default", **more) for key in keys]

    assert found == [0, 0]


async def test_a_key_made_anew_under_an_old_name_reads_nothing_of_the_old_one() -> None:
    keys = KeyFile()
    old = keys.create("ours")
    async with running(
        scripted("Hi."), config=Config(tools=(), server=ServerConfig(require_api_key=True))
    ) as server:
        asked = {"model": "scripted", "input": "Hello"}
        made = await server.http.post("/v1/responses", json=asked, headers={"x-api-key": old})
        place = f"/v1/responses/{made.json()['id']}"
        keys.revoke("ours")
        new = keys.create("ours")
        read = await server.http.get(place, headers={"x-api-key": new})

    assert (made.status_code, read.status_code) == (200, 404)


async def test_keys_of_the_configuration_have_stores_of_their_own() -> None:
    # A key may have any name: none stands for somebody else's data.
    same_name = KeyFile().create("server.api_keys")
    config = Config(tools=(), server=ServerConfig(require_api_key=True, api_keys=_CONFIGURED))
    async with running(scripted("Hi."), config=config) as server:
        mine, *others = (*_CONFIGURED, same_name)
        asked = {"model": "scripted", "input": "Hello"}
        made = await server.http.post("/v1/responses", json=asked, headers={"x-api-key": mine})
        place = f"/v1/responses/{made.json()['id']}"
        reads = [
            (await server.http.get(place, headers={"x-api-key": key})).status_code
            for key in (mine, *others)
        ]

    assert reads == [200, 404, 404]


@pytest.mark.parametrize(
    "name", ["", " ", " ours", "ours\n", "x\ny\x1b[31m", "\u202eours", "x" * 65]
)
def test_a_keys_name_is_printable(name: str) -> None:
    with pytest.raises(ConfigError, match="is invalid: use 1 to 64 printable"):
        KeyFile().create(name)


async def test_no_change_of_the_keys_is_lost_to_another_at_the_same_time() -> None:
    keys = KeyFile()
    keys.create("gone")
    tokens: list[str] = []

    def create(name: str) -> None:
        tokens.append(KeyFile().create(name))

    async with create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(to_thread.run_sync, create, f"key {number}")
        tasks.start_soon(to_thread.run_sync, keys.revoke, "gone")

    assert sorted(key.name for key in keys.all()) == sorted(f"key {n}" for n in range(30))
    assert all(keys.find(token) for token in tokens)
