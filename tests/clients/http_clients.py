"""Real programs as clients of our HTTP server: each calls a tool and reads what came of it.

A script stands in for the model: it calls the client's shell, and says what the shell said. The
programs are installed by ``make test-clients``; this runs them and prints a table. Each argument is
a part of the names of the clients to try; without one, all are tried.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from clients import programs
from clients.programs import Failed, Place, script
from clients.turns import (
    PAGE_URL,
    answering_turn,
    editing_turn,
    search_turn,
    shell_turn,
    submitting_turn,
)

from kronk_agent import Config, Runtime
from kronk_agent.api import create_app
from kronk_agent.api.server import serving_at
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.messages import JsonObject
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel

_PAGE: JsonObject = {"title": "Tea", "url": PAGE_URL, "snippet": "Tea is a drink."}


@dataclass(frozen=True)
class Client:
    name: str
    package: str
    api: str
    run: Callable[[Place], Awaitable[None]]
    turn: Callable[[ChatRequest], Piece] = shell_turn
    version: str | None = None
    """Of what has an environment of its own; None asks what is installed."""


def _python(
    name: str,
    file: str,
    *requirements: str,
    api: str = "chat completions",
    turn: Callable[[ChatRequest], Piece] = shell_turn,
) -> Client:
    """A client in Python with an environment of its own.

    Args:
        name: in the table.
        file: of the program, in the folder ``python``.
        requirements: of its environment; the first is the client itself.
        api: what it speaks.
        turn: what the model does.
    """
    package, _, version = requirements[0].partition("==")
    arguments = ("ollama",) if api == _OLLAMA else ()

    async def run(place: Place) -> None:
        await programs.in_environment(file, requirements, place, *arguments)

    return Client(name, package, api, run, turn, version)


def _program(
    name: str,
    run: Callable[..., Awaitable[None]],
    requirement: str,
    turn: Callable[[ChatRequest], Piece],
    api: str = "chat completions",
) -> Client:
    """A program of Python's with an environment of its own.

    Args:
        name: in the table.
        run: runs it at a place, with its requirements.
        requirement: the package it is.
        turn: what the model does.
        api: what it speaks.
    """
    package, _, version = requirement.partition("==")

    async def run_it(place: Place) -> None:
        await run(place, requirement)

    return Client(name, package, api, run_it, turn, version)


_CHAT = "chat completions"
_OLLAMA = "Ollama's"
_LANGCHAIN = ("langchain==1.5.2", "langchain-openai==1.7.4", "langchain-ollama==1.1.0")
_LITELLM = ("litellm==1.110.2",)
_LLAMA_INDEX = (
    "llama-index-core==0.14.25",
    "llama-index-llms-openai-like==0.8.1",
    "llama-index-llms-ollama==0.11.0",
)
CLIENTS = (
    Client("Claude Code", "@anthropic-ai/claude-code", "messages", programs.claude_code),
    Client(
        "Claude Code, WebSearch",
        "@anthropic-ai/claude-code",
        "messages",
        programs.claude_code_search,
        search_turn,
    ),
    Client("Codex", "@openai/codex", "responses", programs.codex),
    Client("opencode", "opencode-ai", _CHAT, programs.opencode),
    Client("qwen-code", "@qwen-code/qwen-code", _CHAT, programs.qwen_code),
    Client("Continue CLI", "@continuedev/cli", _CHAT, partial(programs.continue_cli, "openai")),
    Client(
        "Continue CLI, anthropic",
        "@continuedev/cli",
        "messages",
        partial(programs.continue_cli, "anthropic"),
    ),
    Client("Cline CLI", "cline", _CHAT, partial(programs.cline, "openai-compatible")),
    Client(
        "Cline CLI, openai-native", "cline", "responses", partial(programs.cline, "openai-native")
    ),
    Client("openai (JavaScript)", "openai", _CHAT, partial(script, "openai_sdk.mjs")),
    Client(
        "Anthropic SDK (JavaScript)",
        "@anthropic-ai/sdk",
        "messages",
        partial(script, "anthropic_sdk.mjs"),
    ),
    Client("pydantic-ai", "pydantic_ai_slim", _CHAT, partial(script, "pydantic_ai_sdk.py")),
    Client(
        "openai-agents",
        "openai_agents",
        _CHAT,
        partial(script, "openai_agents_sdk.py"),
    ),
    Client("llm", "llm", _CHAT, programs.llm),
    Client("Vercel AI SDK", "ai", _CHAT, partial(script, "ai_sdk.mjs")),
    Client("LangChain.js", "langchain", _CHAT, partial(script, "langchain_sdk.mjs")),
    Client("Ollama (JavaScript)", "ollama", _OLLAMA, partial(script, "ollama_sdk.mjs")),
    _python("LangChain", "langchain_sdk", *_LANGCHAIN),
    _python("LangChain, ChatOllama", "langchain_sdk", *_LANGCHAIN, api=_OLLAMA),
    _python("LiteLLM", "litellm_sdk", *_LITELLM),
    _python("LiteLLM, ollama_chat", "litellm_sdk", *_LITELLM, api=_OLLAMA),
    _python("LlamaIndex", "llama_index_sdk", *_LLAMA_INDEX),
    _python("LlamaIndex, Ollama", "llama_index_sdk", *_LLAMA_INDEX, api=_OLLAMA),
    _python("instructor", "instructor_sdk", "instructor==1.17.0"),
    _python("smolagents", "smolagents_sdk", "smolagents[openai]==1.26.0", turn=answering_turn),
    _python("Haystack", "haystack_sdk", "haystack-ai==3.4.1"),
    _python("AutoGen", "autogen_sdk", "autogen-ext[openai]==0.7.5", "autogen-agentchat==0.7.5"),
    _python("Semantic Kernel", "semantic_kernel_sdk", "semantic-kernel==1.45.0"),
    _python("CrewAI", "crewai_sdk", "crewai==1.15.30"),
    _program(
        "mini-swe-agent",
        partial(programs.mini_swe_agent, "litellm"),
        "mini-swe-agent==2.4.6",
        submitting_turn,
    ),
    _program(
        "mini-swe-agent, litellm_response",
        partial(programs.mini_swe_agent, "litellm_response"),
        "mini-swe-agent==2.4.6",
        submitting_turn,
        api="responses",
    ),
    _program("aider", programs.aider, "aider-chat==0.86.2", editing_turn),
)


def version_of(package: str) -> str | None:
    """What is installed of it; None if nothing is."""
    file = programs.NODE_MODULES / package / "package.json"
    if file.exists():
        return str(json.loads(file.read_text(encoding="utf-8"))["version"])
    for folder in programs.PYTHON_PACKAGES.glob(f"{package}-*.dist-info"):
        return folder.name.removesuffix(".dist-info").rpartition("-")[2]
    return None


async def result_of(client: Client) -> str:
    """How it went, in a few words."""
    if client.version is None and version_of(client.package) is None:
        return "skipped: could not be installed (is node 20 or newer there?)"
    config = Config.model_validate(
        {"web_search": {"providers": [{"type": "static", "results": [_PAGE]}]}}
    )
    model = ScriptedModel([client.turn] * 200, context_length=1_000_000)
    with tempfile.TemporaryDirectory(prefix="kronk-client-") as folder:
        async with (
            Runtime.open(config, model=model) as runtime,
            serving_at(create_app(runtime), ServerConfig(port=0, drain_seconds=1)) as url,
        ):
            try:
                await client.run(Place(url, Path(folder)))
            except Failed as failure:
                return f"failed: {' '.join(str(failure).split())}"
    return "works"


async def main(wanted: list[str]) -> int:
    rows = [("client", "version", "API", "result"), ("---", "---", "---", "---")]
    has_failed = False
    for client in CLIENTS:
        if wanted and not any(word.lower() in client.name.lower() for word in wanted):
            continue
        print(f"{client.name} ...", file=sys.stderr)
        result = await result_of(client)
        has_failed = has_failed or result.startswith("failed")
        version = client.version or version_of(client.package) or ""
        rows.append((client.name, version, client.api, result))
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1:]))
