"""From the id of a model, as a request has it, to what answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from pydantic import BaseModel

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.api.counted import CountedChatModel
from kronk_agent.api.middleware.identity import current_caller
from kronk_agent.api.middleware.metrics import Metrics
from kronk_agent.api.tools.pending_turns import OpenTurns
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.engine.engine import Engine
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import AudioPart, ImagePart, Message, Usage
from kronk_agent.model import Capability, SamplingParams
from kronk_agent.runtime import Runtime
from kronk_agent.tools import Toolset

Body = TypeVar("Body", bound=BaseModel)
"""Of a request."""

Kind: TypeAlias = Literal["model", "agent"]

NUM_SEEDS = 2**32 - 1
"""Seeds are 0 to this, itself left out."""
AGENT_PREFIX = "agent/"
"""Ids that begin so are agents, whose tools run here; all others are plain models."""

_DEFAULT_AGENT = "default"
"""The one under ``agent:``."""

_WHAT_WOULD_DO: dict[Capability, str] = {
    "chat": "generate text in a chat",
    "embed": "embed",
    "rerank": "rank documents",
    "fim": "fill in a middle",
    "image": "see images",
    "audio": "hear sounds",
}


@dataclass(frozen=True, slots=True)
class Served:
    """Something a request may name as its model."""

    id: str
    kind: Kind
    is_loaded: bool
    capabilities: tuple[Capability, ...]
    problem: str | None = None
    """Why it cannot be had, where that is known."""


class Serving:
    """What is served, and how requests reach it."""

    def __init__(self, runtime: Runtime, config: ServerConfig, metrics: Metrics) -> None:
        self.runtime = runtime
        self.config = config
        self._metrics = metrics
        self.open_turns = OpenTurns()
        self.sampling = SamplingParams(**runtime.config.sampling.model_dump())
        """What holds where a request does not say."""
        self.started = 0
        """When the server started, in seconds since 1970."""

    async def served(self) -> tuple[Served, ...]:
        """Everything there is, the default first. Files are read for it and not loaded."""
        models = [await self._model(entry.name, entry.is_loaded) for entry in self.runtime.models]
        by_name = {model.id: model for model in models}
        default = models[0]
        agents: dict[str, Served] = {_DEFAULT_AGENT: default}
        for name, config in self.runtime.config.agents.items():
            model = default if config.model is None else by_name.get(config.model, default)
            agents[name] = model
        return (
            *models,
            *(
                replace(model, id=AGENT_PREFIX + name, kind="agent")
                for name, model in agents.items()
            ),
        )

    def named(self, id: str | None) -> str:
        """The id that a request means: the default model's where it is left out or empty, and whose
        ``id`` is an alias (``server.model_aliases``)."""
        models = self.runtime.models
        if not id:
            return models[0].name
        aliases = self.config.model_aliases
        if not aliases or any(entry.name == id for entry in models) or self._is_agent(id):
            return id
        return next((name for glob, name in aliases.items() if fnmatchcase(id, glob)), id)

    def as_named(self, body: Body) -> Body:
        """A request with the id of the model that it means."""
        return body.model_copy(update={"model": self.named(getattr(body, "model", None))})

    def _is_agent(self, id: str) -> bool:
        name = id.removeprefix(AGENT_PREFIX)
        known = (_DEFAULT_AGENT, *self.runtime.config.agents)
        return id.startswith(AGENT_PREFIX) and name in known

    def cache_salt(self, given: str | None = None) -> str:
        """The salt of a request's prompts: each caller has its own, and more if it gives some."""
        caller = current_caller().id
        return caller if given is None else f"{caller}:{given}"

    async def agent(self, id: str, *, cache_salt: str | None = None) -> Agent:
        """The agent with this id, or a plain model as an agent without tools or instructions.

        The turns of its model are counted. ``as_asked`` changes it for a request.

        Args:
            id: of a model, or ``agent/NAME``.
            cache_salt: as the request gives it.

        Raises:
            UnknownModelError: there is none such.
            HttpError: the caller's key is not for agents (403).
            ModelError, InvalidRequestError: it cannot be loaded, or cannot chat.
        """
        if not id.startswith(AGENT_PREFIX):
            await self.need(id, "chat")
            agent = await self.runtime.agent(model=id)
            agent = replace(agent, toolsets=(), options=self._plain(agent.options))
        else:
            current_caller().need("agents")
            name = id.removeprefix(AGENT_PREFIX)
            is_default = name == _DEFAULT_AGENT and name not in self.runtime.config.agents
            agent = await self.runtime.agent(None if is_default else name)
        salt = self.cache_salt(cache_salt)
        is_shared = agent.options.share_prefix and (not salt or self.config.share_agent_prefixes)
        return replace(
            agent,
            model=CountedChatModel(agent.model, partial(self.count, id)),
            options=replace(agent.options, cache_salt=salt, share_prefix=is_shared),
        )

    @asynccontextmanager
    async def engine(self, id: str | None) -> AsyncIterator[Engine]:
        """The engine of a plain model on a file; None is the default.

        Raises:
            UnknownModelError, ModelError, InvalidRequestError: it cannot be had.
        """
        if id is not None and id.startswith(AGENT_PREFIX):
            raise InvalidRequestError(
                f"{id!r} is an agent, and this takes a plain model", param="model"
            )
        async with self.runtime.engine(id) as engine:
            yield engine

    async def need(self, id: str, capability: Capability) -> None:
        """Refuse what a model was not made for, before it is touched.

        Raises:
            InvalidRequestError: it cannot do it; names the models that can.
            UnknownModelError, ModelError: it cannot be had.
        """
        can = await self.runtime.capabilities(self.model_of(id))
        if capability in can:
            return
        others = [one.id for one in await self.served() if capability in one.capabilities]
        remedy = f"these can: {', '.join(others)}" if others else "none here can"
        raise InvalidRequestError(
            f"the model {id!r} cannot {_WHAT_WOULD_DO.get(capability, capability)}; {remedy}",
            param="model",
        )

    async def need_for(self, id: str, messages: list[Message]) -> None:
        """Refuse pictures for a model that does not see, and sounds for one that does not hear.

        Raises:
            InvalidRequestError: it cannot; names the models that can.
        """
        parts = {type(part) for message in messages for part in message.content}
        if ImagePart in parts:
            await self.need(id, "image")
        if AudioPart in parts:
            await self.need(id, "audio")

    def count(self, model: str, usage: Usage) -> None:
        """Add the usage of a plain model's turn to the metrics."""
        self._metrics.prompt_tokens.labels(model).inc(usage.prompt_tokens)
        self._metrics.prompt_tokens_cached.labels(model).inc(usage.cached_tokens)
        self._metrics.generation_tokens.labels(model).inc(usage.completion_tokens)

    def _plain(self, options: AgentOptions) -> AgentOptions:
        """Policy, sampling and limits as configured; everything else as the request says."""
        reasoning = self.config.reasoning
        return AgentOptions(
            instructions="",
            policy=options.policy,
            policy_ceiling=options.policy_ceiling,
            sampling=options.sampling,
            max_tokens=None,
            max_tool_description_tokens=None,
            max_steps=options.max_steps,
            tool_timeout_seconds=options.tool_timeout_seconds,
            compaction="off",
            enable_thinking=None if reasoning == "auto" else reasoning == "on",
            reasoning_budget=self.config.reasoning_budget,
        )

    async def _model(self, name: str, is_loaded: bool) -> Served:
        try:
            # Nobody asked for this one: its template, which may be anyone's, is not tried.
            can = await self.runtime.capabilities(name, renders_template=False)
        except ModelError as error:
            return Served(name, "model", is_loaded, (), str(error))
        return Served(name, "model", is_loaded, tuple(sorted(can)))

    def model_of(self, id: str) -> str | None:
        """The model behind an id; None is the default."""
        if not id.startswith(AGENT_PREFIX):
            return id
        config = self.runtime.config.agents.get(id.removeprefix(AGENT_PREFIX))
        return None if config is None else config.model


def as_asked(
    agent: Agent,
    *,
    options: AgentOptions | None = None,
    toolsets: Sequence[Toolset] | None = None,
) -> Agent:
    """An agent as a request changes it.

    The beginning of its prompts is shared by all callers only while nothing of the request is in
    it: instructions, variables of the template, toolsets.
    """
    options = agent.options if options is None else options
    toolsets = agent.toolsets if toolsets is None else tuple(toolsets)
    before = (agent.options.instructions, agent.options.chat_template_kwargs, agent.toolsets)
    if (options.instructions, options.chat_template_kwargs, toolsets) != before:
        options = replace(options, share_prefix=False)
    return replace(agent, options=options, toolsets=toolsets)


def with_seed(agent: Agent, index: int) -> Agent:
    """The agent for answer number ``index`` of several: the first is as one alone would be."""
    sampling = agent.options.sampling
    if index == 0 or sampling.seed is None:
        return agent
    seed = (sampling.seed + index) % NUM_SEEDS
    return replace(agent, options=replace(agent.options, sampling=replace(sampling, seed=seed)))
