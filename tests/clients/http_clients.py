"""Real programs as clients of our HTTP server: each calls a tool and reads what came of it.

A script stands in for the model: it calls the client's shell, and says what the shell said. The
programs are installed by ``make test-clients``; this runs them and prints a table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from clients.environments import python_of

from kronk_agent import Config, Runtime
from kronk_agent.api import create_app
from kronk_agent.api.server import serving_at
from kronk_agent.config.server import ServerConfig
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, call
from kronk_agent.tool import Tool

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "build" / "http-clients" / "node_modules"
PYTHON_PACKAGES = ROOT / "build" / "http-clients" / "python"
SECONDS = 180
MARK = "kronk-42"
QUESTION = f"Run the shell command `echo {MARK}` and tell me its output."
DONE = f"round trip of {MARK} complete"
_SHELLS = ("Bash", "bash", "exec_command", "shell", "run_shell_command", "echo")
_UNTRACED = ("DO_NOT_TRACK", "HAYSTACK_TELEMETRY_DISABLED", "LITELLM_LOCAL_MODEL_COST_MAP")
"""Switches by which libraries leave the network alone."""
_URL = "https://tea.example/"
_PAGE: JsonObject = {"title": "Tea", "url": _URL, "snippet": "Tea is a drink."}


class Failed(Exception):
    """What a client did not do."""


# --- the model -----------------------------------------------------------------------------------


def shell_turn(request: ChatRequest) -> Piece:
    """Call the shell there is; say what it said."""
    last = request.messages[-1]
    if last.role == "tool":
        return DONE if MARK in last.text else f"The tool failed: {last.text}"
    shell = next((tool for tool in request.tools if tool.name.endswith(_SHELLS)), None)
    return "A title" if shell is None else call(shell.name, **_arguments(shell))


def answering_turn(request: ChatRequest) -> Piece:
    """Call the shell, and say what it said by a call too, as smolagents wants it."""
    said = next((m.text for m in request.messages if m.role == "tool"), "")
    said = said or next((m.text for m in request.messages[2:] if MARK in m.text), "")
    return call("final_answer", answer=DONE) if MARK in said else shell_turn(request)


def search_turn(request: ChatRequest) -> Piece:
    """Search with whatever searches, then say what was found."""
    last = request.messages[-1]
    if last.role == "tool":
        return f"{DONE} [1]" if "tea.example" in last.text else f"Found nothing: {last.text}"
    for tool in request.tools:
        if tool.name in ("WebSearch", "web_search"):
            return call(tool.name, query="tea")
    return "A title"


def _arguments(tool: Tool) -> JsonObject:
    properties, required = tool.parameters.get("properties"), tool.parameters.get("required")
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    return {str(name): _value(str(name), properties[str(name)]) for name in required}


def _value(name: str, schema: JsonValue) -> JsonValue:
    kind = schema.get("type") if isinstance(schema, dict) else None
    match name, kind:
        case _, "boolean":
            return False
        case _, "array":
            return ["bash", "-lc", f"echo {MARK}"]
        case (("command" | "cmd" | "text"), _):
            return f"echo {MARK}"
        case _:
            return "Echoes"


# --- the clients ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a client runs, and what it is to reach."""

    url: str
    folder: Path

    async def run(self, *command: str | Path, **environ: str) -> str:
        """What it prints.

        Raises:
            Failed: it ended badly, or took too long.
        """
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        given = {**kept, "HOME": str(self.folder), "CI": "1", "NO_COLOR": "1", **environ}
        with anyio.move_on_after(SECONDS):
            done = await anyio.run_process(
                [str(word) for word in command],
                input=b"",
                env=given,
                cwd=self.folder,
                check=False,
                stderr=subprocess.PIPE,
            )
            output = done.stdout.decode(errors="replace")
            if done.returncode != 0:
                said = (output + done.stderr.decode(errors="replace"))[-2000:]
                raise Failed(f"exit code {done.returncode}: {said}")
            return output
        raise Failed(f"took longer than {SECONDS} seconds")

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


async def claude_code(place: Place) -> None:
    _expect(DONE in await _claude(place, QUESTION, "Bash"), "the answer has not come")


async def claude_code_search(place: Place) -> None:
    output = await _claude(place, "Search the web for tea.", "WebSearch")
    _expect(DONE in output, "the answer has not come")
    _expect(_URL in output, "the page that was found is not among the results")


async def _claude(place: Place, question: str, tool: str) -> str:
    return await place.run(
        *(_bin("claude"), "-p", question, "--output-format", "stream-json", "--verbose"),
        *("--allowedTools", tool, "--tools", tool),
        ANTHROPIC_BASE_URL=place.url,
        ANTHROPIC_API_KEY="none",
        ANTHROPIC_MODEL="scripted",
        ANTHROPIC_DEFAULT_HAIKU_MODEL="scripted",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_TELEMETRY="1",
    )


async def codex(place: Place) -> None:
    config = f"""
model = "scripted"
model_provider = "kronk"
[model_providers.kronk]
name = "kronk-agent"
base_url = "{place.url}/v1"
env_key = "KRONK_API_KEY"
wire_api = "responses"
"""
    place.write(".codex/config.toml", config)
    output = await place.run(
        *(_bin("codex"), "exec", "--json", "--skip-git-repo-check"),
        *("--dangerously-bypass-approvals-and-sandbox", QUESTION),
        KRONK_API_KEY="none",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def opencode(place: Place) -> None:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{place.url}/v1", "apiKey": "none"},
        "models": {"scripted": {"name": "scripted", "tool_call": True}},
    }
    config = {"provider": {"kronk": provider}, "permission": {"bash": "allow"}}
    place.write("opencode.json", json.dumps(config))
    output = await place.run(
        *(_bin("opencode"), "run", "--model", "kronk/scripted", QUESTION),
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def qwen_code(place: Place) -> None:
    output = await place.run(
        *(_bin("qwen"), "--auth-type", "openai", "--yolo", "-p", QUESTION),
        OPENAI_BASE_URL=f"{place.url}/v1",
        OPENAI_API_KEY="none",
        OPENAI_MODEL="scripted",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def script(name: str, place: Place) -> None:
    """A program of ours that uses an SDK; it prints DONE if all went well."""
    file = Path(__file__).with_name(name)
    if file.suffix == ".mjs":
        # Packages are looked for beside the program.
        (place.folder / "node_modules").symlink_to(NODE_MODULES)
        shutil.copy(file, place.folder)
        command: tuple[str | Path, ...] = (_node(), place.folder / name)
    else:
        command = (sys.executable, file)
    output = await place.run(*command, place.url, PYTHONPATH=str(PYTHON_PACKAGES))
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def in_environment(
    name: str, requirements: tuple[str, ...], place: Place, *arguments: str
) -> None:
    """A program of ours that uses an SDK, in an environment that has that SDK."""
    python = python_of(name.removesuffix("_sdk"), requirements)
    if python is None:
        raise Failed("its environment could not be made")
    file = Path(__file__).parent / "python" / f"{name}.py"
    output = await place.run(
        *(str(python), str(file), place.url, *arguments),
        **dict.fromkeys(_UNTRACED, "1"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def llm(place: Place) -> None:
    model = (
        "- model_id: scripted\n  model_name: scripted\n"
        f"  api_base: {place.url}/v1\n  supports_tools: true\n"
    )
    place.write("llm/extra-openai-models.yaml", model)
    tool = "def echo(text: str) -> str:\n    return text"
    output = await place.run(
        *(sys.executable, "-m", "llm", "-m", "scripted", "--functions", tool, QUESTION),
        LLM_USER_PATH=str(place.folder / "llm"),
        PYTHONPATH=str(PYTHON_PACKAGES),
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


def _expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Failed(otherwise)


def _bin(name: str) -> Path:
    return NODE_MODULES / ".bin" / name


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise Failed("there is no node")
    return node


# --- the table -----------------------------------------------------------------------------------


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
        await in_environment(file, requirements, place, *arguments)

    return Client(name, package, api, run, turn, version)


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
    Client("Claude Code", "@anthropic-ai/claude-code", "messages", claude_code),
    Client(
        "Claude Code, WebSearch",
        "@anthropic-ai/claude-code",
        "messages",
        claude_code_search,
        search_turn,
    ),
    Client("Codex", "@openai/codex", "responses", codex),
    Client("opencode", "opencode-ai", _CHAT, opencode),
    Client("qwen-code", "@qwen-code/qwen-code", _CHAT, qwen_code),
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
    Client("llm", "llm", _CHAT, llm),
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
)


def version_of(package: str) -> str | None:
    """What is installed of it; None if nothing is."""
    file = NODE_MODULES / package / "package.json"
    if file.exists():
        return str(json.loads(file.read_text(encoding="utf-8"))["version"])
    for folder in PYTHON_PACKAGES.glob(f"{package}-*.dist-info"):
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
