"""How each client of our HTTP server is run, and what shows that its round trip is complete."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
from clients.environments import python_of
from clients.turns import DONE, PAGE_URL, QUESTION, TO_EDIT, TO_REPLACE

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / "build" / "http-clients" / "node_modules"
PYTHON_PACKAGES = ROOT / "build" / "http-clients" / "python"
SECONDS = 180
_UNTRACED = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_DISABLED": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
"""Switches by which libraries leave the network alone."""


class Failed(Exception):
    """What a client did not do."""


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
    _expect(PAGE_URL in output, "the page that was found is not among the results")


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


async def continue_cli(provider: str, place: Place) -> None:
    model = {
        "name": "scripted",
        "provider": provider,
        "model": "scripted",
        "apiBase": f"{place.url}/v1",
        "apiKey": "none",
        "roles": ["chat"],
        "capabilities": ["tool_use"],
    }
    config = {"name": "kronk", "version": "1.0.0", "schema": "v1", "models": [model]}
    place.write("config.yaml", json.dumps(config))
    output = await place.run(
        *(_bin("cn"), "--print", "--auto", "--config", "config.yaml", QUESTION),
        CONTINUE_CLI_AUTO_UPDATED="true",  # so it does not update itself
        CONTINUE_CLI_ENABLE_TELEMETRY="0",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def cline(provider: str, place: Place) -> None:
    program = _bin("cline")
    await place.run(
        *(program, "auth", "--provider", provider, "--apikey", "none"),
        *("--modelid", "scripted", "--baseurl", f"{place.url}/v1"),
        CLINE_NO_AUTO_UPDATE="1",
    )
    output = await place.run(
        *(program, "--provider", provider, "--json", QUESTION),
        CLINE_NO_AUTO_UPDATE="1",
        CLINE_SESSION_BACKEND_MODE="local",  # else a daemon is left behind
        DO_NOT_TRACK="1",
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
    python = _python_of(name.removesuffix("_sdk"), requirements)
    file = Path(__file__).parent / "python" / f"{name}.py"
    output = await place.run(
        python,
        file,
        place.url,
        *arguments,
        **_UNTRACED,
        PYTHONDONTWRITEBYTECODE="1",
    )
    _expect(DONE in output, f"the answer has not come: {output[-1000:]}")


async def mini_swe_agent(model_class: str, place: Place, *requirements: str) -> None:
    python = _python_of("mini_swe_agent", requirements)
    await place.run(
        *(python.with_name("mini"), "--model", "openai/scripted", "--task", QUESTION),
        *("--model-class", model_class, "--yolo", "--exit-immediately"),
        *("--output", place.folder / "run.json"),
        OPENAI_API_BASE=f"{place.url}/v1",
        OPENAI_API_KEY="none",
        MSWEA_CONFIGURED="true",
        MSWEA_COST_TRACKING="ignore_errors",
        **_UNTRACED,
    )
    run = json.loads((place.folder / "run.json").read_text(encoding="utf-8"))
    handed_in = run["info"]["submission"]
    _expect(handed_in == f"{DONE}\n", f"what was handed in is {handed_in!r}")


async def aider(place: Place, *requirements: str) -> None:
    python = _python_of("aider", requirements)
    place.write(TO_EDIT, f"{TO_REPLACE}\n")
    known = {"openai/scripted": {"litellm_provider": "openai", "mode": "chat"}}
    place.write("models.json", json.dumps(known))
    output = await place.run(
        *(python.with_name("aider"), "--model", "openai/scripted", "--edit-format", "diff"),
        *("--no-git", "--yes-always", "--no-check-update", "--analytics-disable"),
        *("--no-show-release-notes", "--no-show-model-warnings"),
        *("--model-metadata-file", "models.json", "--message", "Say that it is done.", TO_EDIT),
        OPENAI_API_BASE=f"{place.url}/v1",
        OPENAI_API_KEY="none",
        **_UNTRACED,
    )
    text = (place.folder / TO_EDIT).read_text(encoding="utf-8")
    _expect(text == f"{DONE}\n", f"the file was not edited: {output[-1000:]}")


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


def _python_of(name: str, requirements: tuple[str, ...]) -> Path:
    python = python_of(name, requirements)
    if python is None:
        raise Failed("its environment could not be made")
    return python
