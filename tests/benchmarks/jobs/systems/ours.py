"""Ours, with the configuration a person would write: the model, the servers and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.jobs.job import Job, World
from benchmarks.jobs.servers import SERVERS
from benchmarks.jobs.systems import (
    CONTEXT_LENGTH,
    INSTRUCTIONS,
    MAX_STEPS,
    MAX_TOKENS,
    Outcome,
)
from benchmarks.jobs.web import web_config

from kronk_agent import Agent, Config, Message, Runtime
from kronk_agent.messages import Notice, RunFinished, event_to_json
from kronk_agent.model import ChatModel


class Ours:
    """A runtime for each job, around a model that stays loaded."""

    def __init__(self, model: ChatModel, name: str = "kronk-agent") -> None:
        self.name = name
        self._model = model

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        config = _config(job, world)
        async with Runtime.open(config, tools=job.tools, model=self._model) as runtime:
            await runtime.wait_required_servers()
            agent = await runtime.agent()
            messages: list[Message] = []
            for prompt in job.prompts:
                messages.append(Message.user(prompt))
                finished = await _answer(agent, messages, outcome)
                messages += finished.messages
                outcome.ends.append(finished.error or finished.reason)
                outcome.steps += finished.steps
                outcome.prompt_tokens += finished.usage.prompt_tokens
                outcome.generated_tokens += finished.usage.completion_tokens
                if finished.reason == "error":
                    return
                outcome.answers.append(finished.text)


async def _answer(agent: Agent, messages: list[Message], outcome: Outcome) -> RunFinished:
    outcome.trace.append({"type": "prompt", "text": messages[-1].text})
    async with agent.run(messages) as run:
        async for event in run:
            match event:
                case Notice():
                    outcome.trace.append(event_to_json(event))
                case RunFinished():
                    outcome.trace.append(event_to_json(event))
                    return event
    raise AssertionError("a run ends with RunFinished")


def _config(job: Job, world: World) -> Config:
    servers = {name: SERVERS[name](world.folder) for name in world.servers}
    return Config.model_validate(
        {
            "tools": ["web_search", "web_fetch"] if job.has_web else [],
            **(web_config(world.web) if job.has_web else {}),
            "sampling": {"temperature": 0},
            "agent": {
                "instructions": INSTRUCTIONS,
                "max_steps": MAX_STEPS,
                "max_tokens": MAX_TOKENS,
            },
            "mcp_servers": {
                name: {
                    "command": program.command,
                    "args": program.args,
                    "env": dict(program.env),
                    "cwd": world.folder,
                    "required": True,
                }
                for name, program in servers.items()
            },
        }
    )


@asynccontextmanager
async def open_ours(model: Path, *, threads: int | None) -> AsyncIterator[Ours]:
    """Load the model, and keep it. ``threads`` None: one for each core."""
    engine = {"context_length": CONTEXT_LENGTH, "threads": threads}
    config = Config.model_validate({"model": str(model), "engine": engine})
    async with Runtime.open(config) as runtime:
        yield Ours(await runtime.chat_model())
