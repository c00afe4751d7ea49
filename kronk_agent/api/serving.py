"""From the id of a model, as a request has it, to the agent that answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.api.caller import current_caller
from kronk_agent.api.errors import HttpError
from kronk_agent.api.metrics import Metrics
from kronk_agent.api.open_turns import OpenTurns
from kronk_agent.config.server import ServerConfig
from kronk_agent.messages import Usage
from kronk_agent.runtime import Runtime

Kind: TypeAlias = Literal["model", "agent"]

NUM_SEEDS = 2**32 - 1
"""Seeds are 0 to this, itself left out."""
AGENT_PREFIX = "agent/"
"""Ids that begin so are agents, whose tools run here; all others are plain models."""


@dataclass(frozen=True, slots=True)
class Served:
    """Something a request may name as its model."""

    id: str
    kind: Kind


class Serving:
    """What is served, and how requests reach it."""

    def __init__(self, runtime: Runtime, config: ServerConfig, metrics: Metrics) -> None:
        self.runtime = runtime
        self.config = config
        self._metrics = metrics
        self.open_turns = OpenTurns()
        self.started = 0
        """When the server started, in seconds since 1970."""

    async def served(self) -> tuple[Served, ...]:
        """Everything there is, the default first."""
        model = await self.runtime.chat_model()
        return (Served(model.info.id, "model"), Served(f"{AGENT_PREFIX}default", "agent"))

    async def agent(self, id: str) -> Agent:
        """The agent with this id, or a plain model as an agent without tools or instructions.

        Raises:
            HttpError: there is no such model (404), or the key is not for agents (403).
            ModelError: it cannot be loaded.
        """
        if id.startswith(AGENT_PREFIX):
            current_caller().need("agents")
        agent = await self.runtime.agent()
        if id == f"{AGENT_PREFIX}default":
            return agent
        if id != agent.model.info.id:
            raise await self.unknown(id)
        return Agent(agent.model, (), _plain(agent.options))

    def count(self, model: str, usage: Usage) -> None:
        """Note what an answered request cost."""
        counted = {
            "read": usage.prompt_tokens - usage.cached_tokens,
            "cached": usage.cached_tokens,
            "written": usage.completion_tokens,
        }
        for kind, number in counted.items():
            self._metrics.tokens.labels(model, kind).inc(number)

    async def unknown(self, id: str) -> HttpError:
        """What a request is told that names no model of ours."""
        known = ", ".join(served.id for served in await self.served())
        return HttpError(
            f"there is no model {id!r}: there are {known}",
            status=404,
            code="model_not_found",
            param="model",
        )


def _plain(options: AgentOptions) -> AgentOptions:
    """Sampling as configured; everything else as the request says."""
    return AgentOptions(instructions="", sampling=options.sampling, max_tokens=None)


def with_seed(agent: Agent, index: int) -> Agent:
    """The agent for answer number ``index`` of several: the first is as one alone would be."""
    sampling = agent.options.sampling
    if index == 0 or sampling.seed is None:
        return agent
    seed = (sampling.seed + index) % NUM_SEEDS
    return replace(agent, options=replace(agent.options, sampling=replace(sampling, seed=seed)))
