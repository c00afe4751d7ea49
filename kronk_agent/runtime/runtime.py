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
    """Everything one configuration gives, opened and closed as one. See ``Runtime.open``."""

    def __init__(
        self,
        config: Config,
        *,
        base_dir: Path,
        tools: Sequence[Tool],
        host: Host | None,
        models: Models,
        model_is_starter: bool,
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
        self._missed: set[tuple[str, str]] = set()
        """Agents, and globs of theirs that fit no tool, that were told of."""
        self.model_is_starter = model_is_starter
        """True when no model was chosen, and the small one that ships with us runs."""
        own = StaticToolset("kronk-agent", configured_tools(config, base_dir, tools))
        self.toolsets: tuple[Toolset, ...] = (own, *(host.toolsets if host else ()))
        """The built-in and the user's own tools, then one toolset for each MCP server."""

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
            config: what ``load_config`` gave; None is the defaults.
            base_dir: what relative paths of tools are relative to; None is the working directory.
            tools: more tools, beside those of the configuration.
            model: the default, under its own name (``info.id``), instead of the configured one.
            models: more models, by name, beside those of the configuration.
            person: answers what MCP servers ask of a person; None: they may not ask.

        Raises:
            ConfigError: a tool named in the configuration cannot be had.
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
                model_is_starter=model is None and config.model is None,
                resources=resources,
            )
            if host is not None:
                await resources.enter_async_context(host)
            yield runtime

    @property
    def servers(self) -> tuple[ServerStatus, ...]:
        """How the registered MCP servers are, in the order of the configuration."""
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
        """Wait until an MCP server's tools have changed; for one who waits."""
        if self._host is None:
            await anyio.sleep_forever()
        else:
            await self._host.tools_changed.wait()

    def whole_output(self, uri: str) -> str | None:
        """The whole text of a result that was cut, by the address its marker gives."""
        return self._host.outputs.get(uri) if self._host else None

    @property
    def resources(self) -> Resources | None:
        """What the MCP servers have to read; None where there are no servers."""
        return self._host.resources if self._host else None

    @property
    def prompts(self) -> Prompts | None:
        """What the MCP servers have to begin with; None where there are no servers."""
        return self._host.prompts if self._host else None

    async def user_message(self, text: str) -> Message:
        """The text as a message, with the MCP resources it mentions as ``@server:uri`` attached.

        Raises:
            ToolError: one of them cannot be read.
        """
        return await self._host.resources.attach(text) if self._host else Message.user(text)

    async def agent(self, name: str | None = None, *, model: str | None = None) -> Agent:
        """An agent of the configuration. The first call loads the model.

        Args:
            name: a key of ``agents``; None is the one under ``agent``.
            model: one of ``models``, in place of the agent's own.

        Raises:
            UnknownModelError: there is no such agent or model.
            ModelError: the model is missing or cannot be loaded.
        """
        own = None if name is None else agent_config(self.config, name)
        if name is not None and own is not None:
            self._warn_of_missing_tools(name, own)
        return Agent(
            await self.chat_model(model or (own.model if own else None)),
            agent_toolsets(self.toolsets, own),
            agent_options(self.config, own),
            self._compactions,
        )

    def _warn_of_missing_tools(self, name: str, agent: NamedAgentConfig) -> None:
        """Say once of each tool the agent is to have that there is none of that name."""
        globs = [glob for glob in agent.tools or () if (name, glob) not in self._missed]
        if not globs:
            return
        pending = [
            self.config.mcp_servers[server.name].prefix or server.name
            for server in self.servers
            if server.state != "ready"  # those that failed are told of already
        ]
        names = [tool.name for toolset in self.toolsets for tool in toolset.tools()]
        known = known_tools(names, pending)
        for glob in globs:
            if not known.fits(glob):
                self._missed.add((name, glob))
                logger.warning("agents.%s.tools: no tool is called %r", name, glob)

    async def sessions(self) -> SessionStore:
        """The store of conversations; the first call opens it and upgrades its tables.

        Raises:
            StoreError: it cannot be opened.
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
        """The models there are to be had, the default first."""
        return self._models.entries()

    async def chat_model(self, name: str | None = None) -> ChatModel:
        """A model of ``models`` to chat with; loaded by the first call, which takes seconds.

        It may be unloaded between two turns to make room for others, and is then loaded again.

        Args:
            name: None is the default.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it is missing, cannot be loaded, or has no chat template.
            InvalidRequestError: it was not made to generate.
        """
        return await self._models.chat_model(name)

    def engine(self, name: str | None = None) -> AbstractAsyncContextManager[Engine]:
        """The engine of a model on a file: ``async with runtime.engine() as engine``.

        It stays loaded as long as the block lasts; entering may take seconds.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it cannot be loaded.
            InvalidRequestError: the model is on a server, or was not made to generate.
        """
        return self._models.engine(name)

    def loaded_engine(self, name: str | None = None) -> AbstractContextManager[Engine | None]:
        """The engine of a model on a file, if it is loaded to generate: ``with … as engine``.

        It stays loaded as long as the block lasts; where it is not loaded, this gives None.

        Raises:
            UnknownModelError: there is no such model.
            InvalidRequestError: the model is on a server.
        """
        return self._models.loaded_engine(name)

    async def unload(self, name: str | None = None) -> bool:
        """Unload a model on a file, unless it is in use; True if it was unloaded.

        Its next use loads it again.

        Raises:
            UnknownModelError: there is no such model.
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
        """A model to embed or rank with: ``async with runtime.embedder("bge") as embedder``.

        It stays loaded as long as the block lasts; entering may take seconds.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it cannot be loaded.
            InvalidRequestError: the model is on a server, or was not made for that.
        """
        return self._models.embedder(name)

    async def capabilities(
        self, name: str | None = None, *, renders_template: bool = True
    ) -> frozenset[Capability]:
        """What a model can do; a file is read for it and not loaded to be run.

        Without ``renders_template``, thinking is only told of models that were asked for before.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: its file is missing or cannot be read.
        """
        return await self._models.capabilities(name, renders_template=renders_template)

    async def describe_model(
        self, name: str | None = None, *, renders_template: bool = True
    ) -> ModelDescription:
        """What a model's file tells of it; it is not loaded to be run.

        Without ``renders_template``, what its chat template can is only told where that is known.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: a file is missing or cannot be read, or the chat template is not valid.
            InvalidRequestError: the model is on a server.
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
