"""Resolves the ``model`` of a request to an agent or an engine."""

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
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.middleware.metrics import Metrics
from kronk_agent.api.tools.pending_turns import PendingTurns
from kronk_agent.config.schema.server import ServerConfig
from kronk_agent.engine.engine import Engine
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import AudioPart, ImagePart, Message, Usage
from kronk_agent.model import Capability
from kronk_agent.runtime import Runtime
from kronk_agent.settings import SamplingParams
from kronk_agent.tools import Toolset

Body = TypeVar("Body", bound=BaseModel)
"""The body of a request."""

Kind: TypeAlias = Literal["model", "agent"]

NUM_SEEDS = 2**32 - 1
"""Number of distinct seeds: 0 up to, but not including, this."""
AGENT_PREFIX = "agent/"
"""Prefix of agent ids; agents run their tools on the server. Other ids are plain models."""

_DEFAULT_AGENT = "default"
"""Name of the agent configured under ``agent:``."""

_CAPABILITY_PHRASES: dict[Capability, str] = {
    "chat": "generate text in a chat",
    "embed": "embed",
    "rerank": "rank documents",
    "fim": "fill in the middle",
    "image": "see images",
    "audio": "hear audio",
}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model or agent that a request may name."""

    id: str
    kind: Kind
    is_loaded: bool
    capabilities: tuple[Capability, ...]
    problem: str | None = None
    """Reason why it is unavailable; None if it is available, as far as is known."""


class ModelRouter:
    """Resolves model ids, and creates the agents and engines that answer requests."""

    def __init__(self, runtime: Runtime, config: ServerConfig, metrics: Metrics) -> None:
        self.runtime = runtime
        self.config = config
        self._metrics = metrics
        self.pending_turns = PendingTurns()
        self.sampling = SamplingParams(**runtime.config.sampling.model_dump())
        """Sampling defaults for fields that a request leaves out."""
        self.started = 0
        """Start time of the server, in seconds since 1970."""

    async def served(self) -> tuple[ServedModel, ...]:
        """All models and agents, the default first. No model is loaded."""
        models = [await self._model(entry.name, entry.is_loaded) for entry in self.runtime.models]
        by_name = {model.id: model for model in models}
        default = models[0]
        agents: dict[str, ServedModel] = {_DEFAULT_AGENT: default}
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

    def resolve_id(self, id: str | None) -> str:
        """Resolve the ``model`` of a request.

        Empty is the default model; aliases (``server.model_aliases``) are replaced.
        """
        models = self.runtime.models
        if not id:
            return models[0].name
        aliases = self.config.model_aliases
        if not aliases or any(entry.name == id for entry in models) or self._is_agent(id):
            return id
        return next((name for glob, name in aliases.items() if fnmatchcase(id, glob)), id)

    def with_resolved_id(self, body: Body) -> Body:
        """A copy of the request with its ``model`` resolved."""
        return body.model_copy(update={"model": self.resolve_id(getattr(body, "model", None))})

    def _is_agent(self, id: str) -> bool:
        name = id.removeprefix(AGENT_PREFIX)
        agent_names = (_DEFAULT_AGENT, *self.runtime.config.agents)
        return id.startswith(AGENT_PREFIX) and name in agent_names

    def cache_salt(self, given: str | None = None) -> str:
        """The cache salt of a request's prompts: the client's id and the request's own salt."""
        client_id = current_client().id
        return client_id if given is None else f"{client_id}:{given}"

    async def agent(self, id: str, *, cache_salt: str | None = None) -> Agent:
        """Return the agent with this id.

        A plain model becomes an agent without tools or instructions. The usage of its turns is
        counted. ``as_asked`` adapts it to a request.

        Args:
            id: a model, or ``agent/NAME``.
            cache_salt: the request's own salt.

        Raises:
            UnknownModelError: the model or agent is unknown.
            HttpError: the client's key lacks the scope ``agents`` (403).
            ModelError, InvalidRequestError: it cannot be loaded, or cannot chat.
        """
        if not id.startswith(AGENT_PREFIX):
            await self.need(id, "chat")
            agent = await self.runtime.agent(model=id)
            agent = replace(agent, toolsets=(), options=self._plain(agent.options))
        else:
            current_client().need("agents")
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
        """Lease the engine of a plain local model inside the block; None is the default model.

        Raises:
            UnknownModelError, ModelError, InvalidRequestError: the engine is unavailable.
        """
        if id is not None and id.startswith(AGENT_PREFIX):
            raise InvalidRequestError(
                f"model: {id!r} is an agent; this endpoint takes a plain model", param="model"
            )
        async with self.runtime.engine(id) as engine:
            yield engine

    async def need(self, id: str, capability: Capability) -> None:
        """Check that a model has a capability, without loading it.

        Raises:
            InvalidRequestError: it lacks the capability; names the models that have it.
            UnknownModelError, ModelError: the model is unavailable.
        """
        can = await self.runtime.capabilities(self.model_of(id))
        if capability in can:
            return
        others = [one.id for one in await self.served() if capability in one.capabilities]
        remedy = f"models that can: {', '.join(others)}" if others else "no model here can"
        raise InvalidRequestError(
            f"model {id!r} cannot {_CAPABILITY_PHRASES.get(capability, capability)}; {remedy}",
            param="model",
        )

    async def check_media(self, id: str, messages: list[Message]) -> None:
        """Check that a model can take the images and audio of the messages.

        Raises:
            InvalidRequestError: it cannot; names the models that can.
        """
        parts = {type(part) for message in messages for part in message.content}
        if ImagePart in parts:
            await self.need(id, "image")
        if AudioPart in parts:
            await self.need(id, "audio")

    def count(self, model: str, usage: Usage) -> None:
        """Count the token usage of a turn; called directly by endpoints that run no agent."""
        self._metrics.prompt_tokens.labels(model).inc(usage.prompt_tokens)
        self._metrics.prompt_tokens_cached.labels(model).inc(usage.cached_tokens)
        self._metrics.generation_tokens.labels(model).inc(usage.completion_tokens)

    def _plain(self, options: AgentOptions) -> AgentOptions:
        """Keep the configured policy, sampling and limits; leave the rest to the request."""
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

    async def _model(self, name: str, is_loaded: bool) -> ServedModel:
        try:
            # A listing must not render the template, which may be untrusted and slow.
            can = await self.runtime.capabilities(name, renders_template=False)
        except ModelError as error:
            return ServedModel(name, "model", is_loaded, (), str(error))
        return ServedModel(name, "model", is_loaded, tuple(sorted(can)))

    def model_of(self, id: str) -> str | None:
        """The model behind an id; None is the default model."""
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
    """Adapt an agent to a request.

    Its prompt prefix is shared between clients only while the request leaves instructions, template
    variables and toolsets unchanged.
    """
    options = agent.options if options is None else options
    toolsets = agent.toolsets if toolsets is None else tuple(toolsets)
    before = (agent.options.instructions, agent.options.chat_template_kwargs, agent.toolsets)
    if (options.instructions, options.chat_template_kwargs, toolsets) != before:
        options = replace(options, share_prefix=False)
    return replace(agent, options=options, toolsets=toolsets)


def with_seed(agent: Agent, index: int) -> Agent:
    """The agent for choice number ``index``: each choice after the first gets the next seed."""
    sampling = seeded(agent.options.sampling, index)
    return replace(agent, options=replace(agent.options, sampling=sampling))


def seeded(sampling: SamplingParams, index: int) -> SamplingParams:
    """The sampling for choice number ``index``: each choice after the first gets the next seed."""
    if sampling.seed is None:
        return sampling
    return replace(sampling, seed=(sampling.seed + index) % NUM_SEEDS)
