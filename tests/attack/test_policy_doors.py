"""A denied address is fetched through no door: neither by a model, nor by a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import quote

import anyio
import pytest
from api.support import running
from limits import seconds
from loopback_web import LoopbackWeb
from mcp import Client, MCPError
from mcp_servers.agent.support import connected

from kronk_agent import Config, Runtime
from kronk_agent.agent import Agent, AgentOptions, Approval, Approved
from kronk_agent.api.tools.server_tools import WebLimits, limit_fetch
from kronk_agent.messages import Message, ToolCall
from kronk_agent.runtime import web_tools
from kronk_agent.testing import ScriptedModel, call
from kronk_agent.tools import Permission, StaticToolset, Tool, ToolContext
from kronk_agent.tools.policy import rules_in
from kronk_mcp_servers.web import web_server

DOOR = "policy: what is fetched"

TRIES = [
    "{http}/secret",
    " {http}/secret",
    "{https}/secret",
    "http://127.0.0.1.:{port}/secret",
    "http://2130706433:{port}/secret",
    "{http}/%73ecret",
    "{http}/x/../secret",
    "http://@127.0.0.1:{port}/secret",
    "{http}/secret/",
    "{http}/secret?a=b",
    "{http}//secret",
    "{http}/leads-there",
    "{http}/leads-there-in-two-steps",
]
"""Addresses that lead to ``/secret``; the guard's notes have eight of these, which all got in."""

Door: TypeAlias = Callable[[Config, str], Awaitable[None]]


def config(web: LoopbackWeb, policy: dict[str, Permission] | None = None, **more: Any) -> Config:
    denied: dict[str, Permission] = {f"web_fetch(url={web.url}/secret*)": "deny"}
    fetch: dict[str, Any] = {"allow_private": ["127.0.0.0/8"], "robots": False, "delay_seconds": 0}
    return Config.model_validate(
        {
            "tools": ["web_search", "web_fetch"],
            "web_search": {"providers": [{"type": "static", "results": []}]},
            "policy": denied if policy is None else policy,
            "web_fetch": {**fetch, **more},
        }
    )


async def agent(config: Config, url: str) -> None:
    model = ScriptedModel([call("web_fetch", url=url), "Done."])
    async with Runtime.open(config, model=model) as runtime:
        await (await runtime.agent()).answer([Message.user(f"Read {_plain(url)} .")])


async def asked(config: Config, path: str, url: str, **body: Any) -> None:
    """Ask over HTTP. The conversation has the address, as a person writes it."""
    said = f"Read {_plain(url)} ."
    key = "input" if path == "/v1/responses" else "messages"
    body[key] = said if key == "input" else [{"role": "user", "content": said}]
    model = ScriptedModel([call("web_fetch", url=url), "Done."])
    async with running(model, config=config, tools=()) as server:
        answer = await server.post(path, **body)
    assert answer.status_code == 200, answer.text


async def chat_completions(config: Config, url: str) -> None:
    await asked(config, "/v1/chat/completions", url, model="agent/default")


async def chat_completions_of_a_model(config: Config, url: str) -> None:
    path = "/v1/chat/completions"
    await asked(config, path, url, model="scripted", web_search_options={})


async def responses(config: Config, url: str) -> None:
    await asked(config, "/v1/responses", url, model="agent/default")


async def responses_of_a_model(config: Config, url: str) -> None:
    tools = [{"type": "web_search"}]
    await asked(config, "/v1/responses", url, model="scripted", tools=tools)


async def messages(config: Config, url: str) -> None:
    await asked(config, "/v1/messages", url, model="agent/default", max_tokens=100)


async def messages_of_a_model(config: Config, url: str) -> None:
    tools = [{"type": "web_fetch_20250910", "name": "web_fetch"}]
    await asked(config, "/v1/messages", url, model="scripted", max_tokens=100, tools=tools)


async def ollama(config: Config, url: str) -> None:
    await asked(config, "/api/chat", url, model="agent/default")


async def ollama_completion(config: Config, url: str) -> None:
    model = ScriptedModel([call("web_fetch", url=url), "Done."])
    async with running(model, config=config, tools=()) as server:
        prompt = f"Read {_plain(url)} ."
        answer = await server.post("/api/generate", model="agent/default", prompt=prompt)
    assert answer.status_code == 200, answer.text


async def mcp_serve(config: Config, url: str) -> None:
    async with connected(config=config.model_dump(mode="json", exclude_unset=True)) as client:
        await client.call_tool("web_fetch", {"url": url})


async def ask_agent(config: Config, url: str) -> None:
    turns = (call("web_fetch", url=url), "Done.")
    async with connected(
        *turns, config=config.model_dump(mode="json", exclude_unset=True)
    ) as client:
        await client.call_tool("ask_agent", {"prompt": f"Read {_plain(url)} ."})


async def mcp_web(config: Config, url: str) -> None:
    async with Client(web_server(web_tools(config), policy=rules_in(config.policy))) as client:
        await client.call_tool("web_fetch", {"url": url})


DOORS: list[Door] = [
    agent,
    chat_completions,
    chat_completions_of_a_model,
    responses,
    responses_of_a_model,
    messages,
    messages_of_a_model,
    ollama,
    ollama_completion,
    mcp_serve,
    ask_agent,
    mcp_web,
]


def _plain(url: str) -> str:
    """As a person writes it, so that it has come up in the conversation."""
    return (
        url.strip().replace("@", "").replace("https:", "http:").replace("127.0.0.1.", "127.0.0.1")
    )


@pytest.fixture
def secret(web: LoopbackWeb) -> LoopbackWeb:
    for path in ("/secret", "/secret/", "//secret"):
        web.html(path, "<p>The secret.")
    web.html("/public", "<p>Nothing.")
    web.redirect("/leads-there", "/secret")
    web.redirect("/leads-there-in-two-steps", "/leads-there")
    return web


def was_read(web: LoopbackWeb) -> bool:
    return any("secret" in each.path for each in web.requests)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
async def test_a_denied_address_is_fetched_through_no_door(
    secret: LoopbackWeb, door: Door, own_folders: None
) -> None:
    urls = {"http": secret.url, "https": secret.url.replace("http", "https"), "port": secret.port}
    with anyio.fail_after(seconds(40)):
        await door(config(secret), f"{secret.url}/public")
        assert [each.path for each in secret.requests] == ["/public"], "the door itself is open"
        for url in TRIES if door is agent or door is mcp_web else TRIES[-3:]:
            await door(config(secret), url.format(**urls))

    assert not was_read(secret)


async def test_a_robots_txt_that_redirects_leads_nowhere_else(secret: LoopbackWeb) -> None:
    secret.redirect("/robots.txt", "/secret")

    await agent(config(secret, robots=True), f"{secret.url}/public")

    assert not was_read(secret)


async def test_an_allowed_address_does_not_lead_to_one_that_is_not(secret: LoopbackWeb) -> None:
    policy: dict[str, Permission] = {"*": "ask", f"web_fetch(url={secret.url}/leads*)": "allow"}

    await agent(config(secret, policy), f"{secret.url}/leads-there")

    assert [each.path for each in secret.requests] == ["/leads-there"]


async def test_https_is_not_allowed_where_only_http_is(secret: LoopbackWeb) -> None:
    https = secret.url.replace("http:", "https:")
    policy: dict[str, Permission] = {"*": "ask", f"web_fetch(url={https}/*)": "allow"}

    await agent(config(secret, policy), f"{https}/secret")  # which came up as http

    assert not was_read(secret)


async def test_a_page_in_the_cache_is_under_the_policy_of_each_call(secret: LoopbackWeb) -> None:
    (_, fetch) = web_tools(config(secret))
    page = {"url": f"{secret.url}/leads-there"}
    assert fetch.call is not None
    await fetch.call({**page}, ToolContext())
    secret.requests.clear()
    model = ScriptedModel([call("web_fetch", **page), "Done."])
    options = AgentOptions(policy=rules_in(config(secret).policy))
    answer = await Agent(model, [StaticToolset("web", (fetch,))], options).answer(
        [Message.user(page["url"])]
    )

    assert "The secret" not in answer.messages[1].text
    assert not was_read(secret)


async def test_a_page_that_is_read_again_leads_nowhere_else(
    secret: LoopbackWeb, own_folders: None
) -> None:
    given = config(secret, cache_seconds=0).model_dump(mode="json", exclude_unset=True)
    url = f"{secret.url}/public"
    async with connected(config=given) as client:
        await client.call_tool("web_fetch", {"url": url})
        secret.redirect("/public", "/secret")
        with pytest.raises(MCPError, match="the policy does not allow web_fetch with this url"):
            await client.read_resource(f"kronk://pages/{quote(url, safe='')}")

    assert not was_read(secret)


async def test_the_domains_of_a_request_hold_before_a_redirect_is_followed(
    secret: LoopbackWeb,
) -> None:
    secret.redirect("/away", f"http://localhost:{secret.port}/secret")
    (_, fetch) = web_tools(config(secret))
    hosted = limit_fetch(fetch, WebLimits(allowed_domains=("127.0.0.1",)))
    assert hosted.call is not None

    output = await hosted.call({"url": f"{secret.url}/away"}, ToolContext())

    assert output.is_error
    assert not was_read(secret)


# --- approvals ----------------------------------------------------------------------------------


class UserInteraction:
    """Agrees to everything, and remembers to what."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, call: ToolCall, tool: Tool) -> Approval:
        self.asked.append(call.arguments)
        return Approved()


async def agreed(config: Config, *turns: Any, said: str) -> tuple[UserInteraction, list[str]]:
    """What a person was asked in a run, and the results that the model read."""
    person = UserInteraction()
    async with Runtime.open(config, model=ScriptedModel(turns)) as runtime:
        run = await (await runtime.agent()).answer([Message.user(said)], approve=person)
    return person, [message.text for message in run.messages if message.role == "tool"]


async def test_an_approval_does_not_hold_for_a_redirect_elsewhere(secret: LoopbackWeb) -> None:
    first, then = f"{secret.url}/leads-there", f"{secret.url}/secret"
    turns = (call("web_fetch", url=first), call("web_fetch", url=then), "Done.")

    person, (refused, read) = await agreed(
        config(secret, {"web_fetch": "ask"}), *turns, said=f"Read {first} ."
    )

    assert len(person.asked) == 2
    assert f"redirects to {then}: the user must agree to this url" in refused
    assert "The secret" in read


async def test_an_approval_holds_for_the_spelling_that_came_up(secret: LoopbackWeb) -> None:
    url = f"{secret.url}/public"
    turns = (call("web_fetch", url=f"{url.replace('http:', 'https:')}/"), "Done.")

    person, (read,) = await agreed(config(secret, {"web_fetch": "ask"}), *turns, said=url)

    assert len(person.asked) == 1
    assert "Nothing." in read


async def test_an_approval_holds_for_one_call(secret: LoopbackWeb) -> None:
    one, other = f"{secret.url}/public", f"{secret.url}/secret"
    turns = (
        [call("web_fetch", url=one), call("web_fetch", url=other)],
        call("web_fetch", url=one, start=0),
        "Done.",
    )

    person, _ = await agreed(
        config(secret, {"web_fetch": "ask"}), *turns, said=f"{one} and {other}"
    )

    assert len(person.asked) == 3
