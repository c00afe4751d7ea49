"""What is exposed: the gateway to registered servers, resources, prompts, remote callers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mcp.types as t
import pytest
from host.support import asking
from loopback_web import LOOPBACK, LoopbackWeb
from mcp import Client
from mcp_servers.agent.support import DEMO, connected

from kronk_agent.errors import ConfigError
from kronk_agent.testing import call
from kronk_agent.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def names_of(client: Client) -> list[str]:
    return [each.name for each in (await client.list_tools()).tools]


async def test_by_default_the_agent_and_the_web_are_exposed_and_nothing_else() -> None:
    async with connected(tools=[add], config={"tools": ["web_search", "web_fetch"]}) as client:
        names = await names_of(client)

    assert names == ["ask_agent", "web_search", "web_fetch"]


async def test_the_tools_of_registered_servers_come_through_as_they_are() -> None:
    config = {"mcp_servers": {"demo": DEMO}, "serve_mcp": {"expose": ["demo__*", "generate"]}}

    async with connected(config=config) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        result = await client.call_tool("demo__weather", {"city": "Nairobi"})
        reports: list[str | None] = []

        async def watch(progress: float, total: float | None, message: str | None) -> None:
            reports.append(message)

        await client.call_tool("demo__countdown", {"start": 2}, progress_callback=watch)
        wrong = await client.call_tool("demo__weather", {"city": "Atlantis"})

    assert list(tools) == [
        "generate",
        "demo__add",
        "demo__echo",
        "demo__weather",
        "demo__countdown",
        "demo__fail",
    ]
    assert tools["demo__weather"].output_schema is not None
    assert result.structured_content == {"temperature_celsius": 24, "sky": "clear"}
    assert reports == ["1 left", "0 left"]
    assert wrong.is_error


@pytest.mark.parametrize(
    ("expose", "words"),
    [
        (["ask_agnet"], "serve_mcp.expose: unknown tool 'ask_agnet'; available: ask_agent"),
        (["time__now"], "serve_mcp.expose: unknown tool 'time__now'"),
    ],
)
async def test_exposing_what_cannot_be_is_a_mistake_in_the_configuration(
    expose: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        async with connected(config={"serve_mcp": {"expose": expose}}):
            pass


async def test_remote_callers_have_a_policy_of_their_own_also_through_the_agent() -> None:
    remote = {"expose": ["ask_agent", "add"], "policy": {"add": "ask", "rm": "deny"}}
    config = {"serve_mcp": {"expose": ["*"], "remote": remote}}

    @tool
    def rm(path: str) -> str:
        """Remove a file."""
        raise AssertionError

    async def agree(context: object, params: t.ElicitRequestParams) -> t.ElicitResult:
        return t.ElicitResult(action="accept", content={"allow": True})

    seen: list[list[str]] = []

    def first(request: Any) -> Any:
        seen.append([each.name for each in request.tools])
        return call("add", a=1, b=2)

    async with connected(
        first,
        "It is 3.",
        tools=[add, rm],
        config=config,
        is_remote=True,
        elicitation_callback=agree,
    ) as client:
        names = await names_of(client)
        added = await client.call_tool("add", {"a": 1, "b": 2})
        asked = await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    assert names == ["ask_agent", "add"]
    assert added.content == [t.TextContent(text="3")]
    assert not asked.is_error
    assert seen == [["add"]]


@pytest.mark.parametrize("is_remote", [False, True])
async def test_an_old_servers_question_reaches_nobody_where_there_may_be_several_people(
    is_remote: bool,
) -> None:
    """Which run made it ask is not known: it may be another caller's."""
    server = asking(protocol="legacy").model_dump(mode="json", exclude_unset=True)
    asked: list[str] = []

    async def answer(context: object, params: t.ElicitRequestParams) -> t.ElicitResult:
        asked.append(params.message)
        return t.ElicitResult(action="accept", content={"city": "Oslo", "nights": 2})

    async with connected(
        config={"mcp_servers": {"x": server}, "serve_mcp": {"expose": ["x__travel"]}},
        is_remote=is_remote,
        elicitation_callback=answer,
    ) as client:
        result = await client.call_tool("x__travel", {})

    assert asked == ([] if is_remote else ["x asks: Where to?"])
    assert ("decline" in str(result.content)) == is_remote


async def test_a_remote_callers_question_is_asked_once_however_many_policies_ask() -> None:
    config = {
        "policy": {"add": "ask"},
        "serve_mcp": {"expose": ["ask_agent", "add"], "remote": {"policy": {"add": "ask"}}},
    }
    asked: list[str] = []

    async def agree(context: object, params: t.ElicitRequestParams) -> t.ElicitResult:
        asked.append(params.message)
        return t.ElicitResult(action="accept", content={"allow": True})

    async with connected(
        call("add", a=1, b=2),
        "It is 3.",
        tools=[add],
        config=config,
        is_remote=True,
        elicitation_callback=agree,
    ) as client:
        added = await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    assert added.content == [t.TextContent(text="3")]
    assert asked == ['Allow calling add with these arguments?\n{\n "a": 1,\n "b": 2\n}'] * 2


async def test_what_is_allowed_here_is_not_thereby_allowed_to_remote_callers() -> None:
    config = {
        "policy": {"add": "allow"},
        "serve_mcp": {
            "expose": ["ask_agent", "add"],
            "remote": {"policy": {"add(a=1)": "deny", "add(a=2)": "ask"}},
        },
    }
    seen: list[str] = []

    def last(request: Any) -> str:
        seen.append(request.messages[-1].text)
        return "Done."

    async with connected(
        call("add", a=1, b=2), last, tools=[add], config=config, is_remote=True
    ) as client:
        denied = await client.call_tool("add", {"a": 1, "b": 2})
        asking = await client.call_tool("add", {"a": 2, "b": 2})
        added = await client.call_tool("add", {"a": 3, "b": 2})
        await client.call_tool("ask_agent", {"prompt": "1 + 2?"})

    words = "add was not called: the policy does not allow it. Do without it."
    assert denied.content == [t.TextContent(text=words)]
    assert "add needs the user's consent" in str(asking.content)
    assert added.content == [t.TextContent(text="5")]
    assert seen == [words]


async def test_the_policy_of_the_agent_holds_for_those_who_call_its_tools_themselves() -> None:
    config = {
        "policy": {"add(a=1)": "deny", "rm": "deny"},
        "serve_mcp": {"expose": ["add", "rm"]},
    }

    @tool
    def rm(path: str) -> str:
        """Remove a file."""
        raise AssertionError

    async with connected(tools=[add, rm], config=config) as client:
        names = await names_of(client)
        denied = await client.call_tool("add", {"a": 1, "b": 2})

    assert names == ["add"]
    assert "the policy does not allow it" in str(denied.content)


async def test_the_policy_of_remote_callers_holds_for_our_own_tools() -> None:
    remote = {"policy": {"generate": "deny", "list_models": "ask"}}
    config = {"serve_mcp": {"expose": ["generate", "list_models"], "remote": remote}}

    async with connected(config=config, is_remote=True) as client:
        names = await names_of(client)
        refused = await client.call_tool("list_models", {})

    assert names == ["list_models"]
    assert "list_models needs the user's consent" in str(refused.content)


async def test_a_remote_caller_that_cannot_ask_is_denied() -> None:
    config = {"serve_mcp": {"expose": ["*"], "remote": {"policy": {"add": "ask"}}}}

    async with connected(tools=[add], config=config, is_remote=True) as client:
        result = await client.call_tool("add", {"a": 1, "b": 2})

    assert result.is_error
    assert "add needs the user's consent" in str(result.content)


@pytest.mark.parametrize("tools", [["web_fetch"], []])
async def test_a_page_that_was_fetched_can_be_read_whole(
    tools: list[str], web: LoopbackWeb
) -> None:
    url = web.html("/tea", "<title>Tea</title><p>" + "Leaves and water. " * 200)
    config = {
        "tools": tools,  # of the agent; what is exposed has nothing to do with it
        "web_fetch": {"allow_private": [str(LOOPBACK)], "delay_seconds": 0},
    }

    async with connected(config=config) as client:
        assert [r.uri for r in (await client.list_resources()).resources] == ["kronk://models"]
        await client.call_tool("web_fetch", {"url": url, "max_tokens": 100})
        page = (await client.list_resources()).resources[-1]
        (contents,) = (await client.read_resource(page.uri)).contents
        completed = await client.complete(
            t.ResourceTemplateReference(uri="kronk://pages/{url}"), {"name": "url", "value": "h"}
        )

    assert (page.name, page.uri.startswith("kronk://pages/http")) == (url, True)
    assert isinstance(contents, t.TextResourceContents)
    assert contents.text.count("Leaves and water.") == 200
    assert completed.completion.values == [url]


async def test_what_was_cut_of_a_result_can_be_read() -> None:
    config = {
        "mcp_servers": {"demo": {**DEMO, "max_output_tokens": 10}},
        "serve_mcp": {"expose": ["demo__echo"]},
    }

    async with connected(config=config) as client:
        cut = await client.call_tool("demo__echo", {"text": "word " * 100})
        [uri] = re.findall("output://demo/[a-z]{10}", str(cut.content))
        (contents,) = (await client.read_resource(uri)).contents

    assert isinstance(contents, t.TextResourceContents)
    assert contents.text == "word " * 100


async def test_prompts_of_the_configuration_have_the_arguments_their_text_has(
    tmp_path: Path,
) -> None:
    (tmp_path / "review.md").write_text("Review {{ file }} for {{ reader }}.")
    prompts = {
        "review": {
            "file": str(tmp_path / "review.md"),
            "description": "A short review",
            "arguments": {"file": "What to look at"},
        },
        "hello": {"text": "Say hello."},
    }

    async with connected(config={"serve_mcp": {"prompts": prompts}}) as client:
        listed = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        got = await client.get_prompt("review", {"file": "a.py", "reader": "Ada"})
        delegated = await client.get_prompt("delegate", {"task": "Find tea."})

    assert list(listed) == ["delegate", "review", "hello"]
    assert listed["review"].arguments == [
        t.PromptArgument(name="file", description="What to look at", required=True),
        t.PromptArgument(name="reader", required=True),
    ]
    assert got.messages[0].content == t.TextContent(text="Review a.py for Ada.")
    assert "ask_agent" in str(delegated.messages[0].content)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"file": "nowhere.md"}, r"serve_mcp.prompts.p.file: nowhere.md cannot be read"),
        ({"text": "{{ open"}, r"serve_mcp.prompts.p: invalid template, line 1"),
        (
            {"text": "x", "arguments": {"y": ""}},
            r"serve_mcp.prompts.p.arguments.y: the text does not contain",
        ),
    ],
)
async def test_a_prompt_that_cannot_be_is_a_mistake_in_the_configuration(
    prompt: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        async with connected(config={"serve_mcp": {"prompts": {"p": prompt}}}):
            pass


async def test_the_models_are_listed_without_loading_one() -> None:
    models = {"small": "nowhere.gguf", "big": {"url": "http://localhost:1/v1", "model": "x"}}
    config = {"models": models, "serve_mcp": {"expose": ["list_models"]}}

    async with connected(config=config) as client:
        result = await client.call_tool("list_models", {})

    assert isinstance(result.structured_content, dict)
    given, small, big = result.structured_content["models"]
    assert given == {
        "name": "scripted",
        "place": "given",
        "is_default": True,
        "is_loaded": True,
        "capabilities": ["chat", "tools"],
        "error": None,
    }
    assert (small["name"], small["capabilities"]) == ("small", [])
    assert "nowhere.gguf" in small["error"]
    assert (big["name"], big["place"], big["is_loaded"]) == ("big", "remote", False)


async def test_a_model_there_is_not_is_a_result_that_says_so() -> None:
    async with connected(config={"serve_mcp": {"expose": ["*"]}}) as client:
        calls: dict[str, dict[str, Any]] = {
            "ask_agent": {"prompt": "?", "model": "nonesuch"},
            "generate": {"prompt": "?", "model": "nonesuch"},
            "embed": {"texts": ["?"], "model": "nonesuch"},
        }
        results = [await client.call_tool(name, arguments) for name, arguments in calls.items()]

    assert [result.is_error for result in results] == [True, True, True]
    assert all("unknown model 'nonesuch'" in str(result.content) for result in results)


@pytest.mark.e2e
async def test_texts_are_embedded(starter_model: Path) -> None:
    models = {"vectors": {"path": str(starter_model), "pooling": "mean"}}
    config = {"models": models, "serve_mcp": {"expose": ["embed"]}}

    async with connected(config=config) as client:
        result = await client.call_tool("embed", {"texts": ["a", "b"], "model": "vectors"})

    assert isinstance(result.structured_content, dict)
    assert [len(vector) for vector in result.structured_content["vectors"]] == [576, 576]
