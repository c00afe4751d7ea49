"""The runtime: everything a configuration describes, opened and closed together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from kronk_agent.agent import Agent, CompactionCache
from kronk_agent.config.schema.config import Config, NamedAgentConfig
from kronk_agent.messages import Message
from kronk_agent.model import Capability, ChatModel
from kronk_agent.runtime.agents import agent_config, agent_options, agent_toolsets
from kronk_agent.runtime.configured_tools import configured_tools
from kronk_agent.runtime.description import ModelDescription
from kronk_agent.runtime.known_tools import known_tools
from kronk_agent.runtime.model_registry import ModelEntry, Models
from kronk_agent.tools import StaticToolset, Tool, Toolset

if TYPE_CHECKING:
    from kronk_agent.engine.embedding.engine import EmbeddingEngine
    from kronk_agent.engine.engine import Engine
    from kronk_agent.host import Host, Prompts, Resources, ServerStatus, UserInteraction
    from kronk_agent.sessions import SessionStore

logger = logging.getLogger(__name__)


class Runtime:
    """Models, tools, MCP servers and agents of a configuration. See ``Runtime.open``."""

    def __init__(
        self,
        config: Config,
        *,
        base_dir: Path,
        tools: Sequence[Tool],
        host: Host | None,
        models: Models,
        uses_starter_model: bool,
        resources: AsyncExitStack,
    ) -> None:
        self.config = config
        self.base_dir = base_dir
        self._host = host
        self._resources = resources
        self._sessions: SessionStore | None = None
        self._opening_store = anyio.Lock()
        self._models = models
        self._compactions = CompactionCache()
        self._reported_globs: set[tuple[str, str]] = set()
        """Agents with globs that match no tool and were already reported."""
        self.uses_starter_model = uses_starter_model
        """True if no model was chosen, so that the bundled small one is used."""
        configured = StaticToolset("kronk-agent", configured_tools(config, base_dir, tools))
        self.toolsets: tuple[Toolset, ...] = (configured, *(host.toolsets if host else ()))
        """The built-in and the user's own tools, then one toolset per MCP server."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config | None = None,
        *,
        base_dir: Path | None = None,
        tools: Sequence[Tool] = (),
        model: ChatModel | None = None,
        models: Mapping[str, ChatModel] | None = None,
        person: UserInteraction | None = None,
    ) -> AsyncIterator[Runtime]:
        """Open a runtime: MCP servers start in the background, models load on first use.

        Args:
            config: the result of ``load_config``; None means the defaults.
            base_dir: directory that relative paths of tools refer to; None means the working
                directory.
            tools: tools in addition to those of the configuration.
            model: the default model, under its own name (``info.id``), instead of the configured
                one.
            models: models by name, in addition to those of the configuration.
            person: answers requests of MCP servers to the user; None refuses such requests.

        Raises:
            ConfigError: a tool named in the configuration cannot be loaded.
        """
        config = config or Config()

        async def get_model() -> ChatModel:
            return await runtime.chat_model()

        host = _host(config, get_model, person)
        base_dir = base_dir or Path.cwd()
        given = dict(models or {}) | ({model.info.id: model} if model else {})
        async with AsyncExitStack() as resources:
            all_models = Models(
                config,
                base_dir=base_dir,
                given=given,
                default=model.info.id if model else None,
            )
            resources.push_async_callback(all_models.close)
            runtime = cls(
                config,
                base_dir=base_dir,
                tools=tools,
                host=host,
                models=all_models,
                uses_starter_model=model is None and config.model is None,
                resources=resources,
            )
            if host is not None:
                await resources.enter_async_context(host)
            yield runtime

    @property
    def servers(self) -> tuple[ServerStatus, ...]:
        """The status of each MCP server, in the order of the configuration."""
        return self._host.statuses() if self._host else ()

    async def wait_servers_ready(self) -> None:
        """Wait until every MCP server is ready or has failed."""
        if self._host:
            await self._host.wait_ready()

    async def wait_required_servers(self) -> None:
        """Wait until every MCP server that is ``required`` is ready.

        Raises:
            ServerUnavailableError: one of them failed.
        """
        if self._host:
            await self._host.wait_required()

    async def tools_changed(self) -> None:
        """Wait until the tools of an MCP server change. Supports a single waiter."""
        if self._host is None:
            await anyio.sleep_forever()
        else:
            await self._host.tools_changed.wait()

    def whole_output(self, uri: str) -> str | None:
        """Return the complete text of a truncated result, by the URI in its marker."""
        return self._host.outputs.get(uri) if self._host else None

    @property
    def resources(self) -> Resources | None:
        """The resources of the MCP servers; None without servers."""
        return self._host.resources if self._host else None

    @property
    def prompts(self) -> Prompts | None:
        """The prompts of the MCP servers; None without servers."""
        return self._host.prompts if self._host else None

    async def user_message(self, text: str) -> Message:
        """Return the text as a message, attaching MCP resources mentioned as ``@server:uri``.

        Raises:
            ToolError: a resource cannot be read.
        """
        return await self._host.resources.attach(text) if self._host else Message.user(text)

    async def agent(self, name: str | None = None, *, model: str | None = None) -> Agent:
        """Return an agent of the configuration. The first call loads the model.

        Args:
            name: a key of ``agents``; None means the default agent.
            model: a model name that overrides the agent's own.

        Raises:
            UnknownModelError: no agent or model has that name.
            ModelError: the model is missing or cannot be loaded.
        """
        config = None if name is None else agent_config(self.config, name)
        if name is not None and config is not None:
            self._warn_of_missing_tools(name, config)
        return Agent(
            await self.chat_model(model or (config.model if config else None)),
            agent_toolsets(self.toolsets, config),
            agent_options(self.config, config),
            self._compactions,
        )

    def _warn_of_missing_tools(self, name: str, agent: NamedAgentConfig) -> None:
        """Warn once about each of the agent's globs that matches no tool."""
        globs = [glob for glob in agent.tools or () if (name, glob) not in self._reported_globs]
        if not globs:
            return
        pending = [
            self.config.mcp_servers[server.name].prefix or server.name
            for server in self.servers
            if server.state != "ready"  # failures are reported elsewhere
        ]
        names = [tool.name for toolset in self.toolsets for tool in toolset.tools()]
        known = known_tools(names, pending)
        for glob in globs:
            if not known.matches(glob):
                self._reported_globs.add((name, glob))
                logger.warning("agents.%s.tools: unknown tool %r", name, glob)

    async def sessions(self) -> SessionStore:
        """Return the store of conversations; the first call opens it and migrates its tables.

        Raises:
            StoreError: the store cannot be opened.
        """
        from kronk_agent.sessions import SessionStore  # heavy

        async with self._opening_store:
            if self._sessions is None:
                config = self.config.sessions
                opened = SessionStore.open(config.url, retention_days=config.retention_days)
                self._sessions = await self._resources.enter_async_context(opened)
            return self._sessions

    @property
    def models(self) -> tuple[ModelEntry, ...]:
        """The registered models, the default first."""
        return self._models.entries()

    async def chat_model(self, name: str | None = None) -> ChatModel:
        """Return a chat model; the first call loads it, which takes seconds.

        It may be unloaded between two turns to free memory for others, and is loaded again on use.

        Args:
            name: the model; None means the default.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model is missing, cannot be loaded, or has no chat template.
            InvalidRequestError: the model cannot generate.
        """
        return await self._models.chat_model(name)

    def engine(self, name: str | None = None) -> AbstractAsyncContextManager[Engine]:
        """Return the engine of a local model: ``async with runtime.engine() as engine``.

        It stays loaded inside the block; entering may take seconds.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model cannot be loaded.
            InvalidRequestError: the model is remote, or cannot generate.
        """
        return self._models.engine(name)

    def loaded_engine(self, name: str | None = None) -> AbstractContextManager[Engine | None]:
        """Return the engine of a local model if it is loaded: ``with ... as engine``.

        It stays loaded inside the block; the block gets None if it is not loaded for generation.

        Raises:
            UnknownModelError: no model has that name.
            InvalidRequestError: the model is remote.
        """
        return self._models.loaded_engine(name)

    async def unload(self, name: str | None = None) -> bool:
        """Unload a local model unless it is in use; returns True if it was unloaded.

        Its next use loads it again.

        Raises:
            UnknownModelError: no model has that name.
        """
        return await self._models.unload(name)

    def keep(self, name: str | None = None, *, seconds: float) -> None:
        """Set how long after its last use a loaded model is unloaded, by ``unload_expired``.

        Applies until the model is unloaded. Models stay loaded while there is room otherwise.

        Args:
            name: None is the default.
            seconds: at least 0; infinity keeps it while there is room.

        Raises:
            UnknownModelError: there is no such model.
        """
        self._models.keep(name, seconds)

    def seconds_left(self, name: str | None = None) -> float | None:
        """Seconds until a model is unloaded if it is not used again; None if it is not loaded.

        Raises:
            UnknownModelError: there is no such model.
        """
        return self._models.seconds_left(name)

    async def unload_expired(self) -> None:
        """Unload models whose time set by ``keep`` has passed; runs until cancelled."""
        await self._models.unload_expired()

    def embedder(self, name: str | None = None) -> AbstractAsyncContextManager[EmbeddingEngine]:
        """Return an embedding model: ``async with runtime.embedder("bge") as embedder``.

        It stays loaded inside the block; entering may take seconds.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model cannot be loaded.
            InvalidRequestError: the model is remote, or supports neither embedding nor reranking.
        """
        return self._models.embedder(name)

    async def capabilities(
        self, name: str | None = None, *, renders_template: bool = True
    ) -> frozenset[Capability]:
        """Return the capabilities of a model, without loading its weights.

        Args:
            name: the model; None means the default.
            renders_template: render the chat template; if False, ``thinking`` is reported only if
                the template was rendered before.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the file is missing or unreadable.
        """
        return await self._models.capabilities(name, renders_template=renders_template)

    async def describe_model(
        self, name: str | None = None, *, renders_template: bool = True
    ) -> ModelDescription:
        """Return the description of a local model, without loading its weights.

        Args:
            name: the model; None means the default.
            renders_template: render the chat template; if False, its features are reported only if
                it was rendered before.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: a file is missing or unreadable, or the chat template is invalid.
            InvalidRequestError: the model is remote.
        """
        return await self._models.describe(name, renders_template=renders_template)


def _host(
    config: Config, get_model: Callable[[], Awaitable[ChatModel]], person: UserInteraction | None
) -> Host | None:
    if not config.mcp_servers:
        return None
    from kronk_agent.host import Host
    from kronk_agent.host.oauth.authenticate import authenticate
    from kronk_agent.runtime.documents import DocumentReader

    return Host(
        config.mcp_servers,
        get_model=get_model,
        person=person,
        authenticate=authenticate,
        read_document=DocumentReader().read,
    )
