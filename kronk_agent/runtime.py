"""The composition root: a configuration becomes a model, toolsets and an agent.

Nothing else builds things. What is heavy is imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.config.engine import EngineConfig
from kronk_agent.config.model import LocalModelConfig, RemoteModelConfig
from kronk_agent.config.schema import Config, WebFetchConfig, WebSearchConfig
from kronk_agent.errors import ConfigError
from kronk_agent.messages import Message
from kronk_agent.model import ChatModel, SamplingParams, ToolChoice
from kronk_agent.models.store import find_model
from kronk_agent.tool import StaticToolset, Tool, Toolset
from kronk_agent.tool_paths import load_tool

if TYPE_CHECKING:
    from kronk_agent.chat.capabilities import Capabilities
    from kronk_agent.engine.params import EngineParams
    from kronk_agent.host import Host, Person, Prompts, Resources, ServerStatus
    from kronk_agent.sessions import SessionStore


class Runtime:
    """Everything one configuration gives, opened and closed as one. See ``Runtime.open``."""

    def __init__(
        self,
        config: Config,
        *,
        base_dir: Path,
        tools: Sequence[Tool],
        host: Host | None,
        model: ChatModel | None,
        resources: AsyncExitStack,
    ) -> None:
        self.config = config
        self._base_dir = base_dir
        self._host = host
        self._model = model
        self.model_is_starter = model is None and config.model is None
        """True when no model was chosen, and the small one that ships with us runs."""
        self._loading = anyio.Lock()
        self._resources = resources
        self._sessions: SessionStore | None = None
        self._opening_store = anyio.Lock()
        own = StaticToolset("kronk-agent", _own_tools(config, base_dir, tools))
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
        person: Person | None = None,
    ) -> AsyncIterator[Runtime]:
        """Open a runtime: MCP servers start in the background, the model loads on first use.

        Args:
            config: what ``load_config`` gave; None is the defaults.
            base_dir: what relative paths of tools are relative to; None is the working directory.
            tools: more tools, beside those of the configuration.
            model: use this one and load none.
            person: answers what MCP servers ask of a person; None: they may not ask.

        Raises:
            ConfigError: a tool named in the configuration cannot be had.
        """
        config = config or Config()

        async def get_model() -> ChatModel:
            return await runtime.chat_model()

        host = _host(config, get_model, person)
        async with AsyncExitStack() as resources:
            runtime = cls(
                config,
                base_dir=base_dir or Path.cwd(),
                tools=tools,
                host=host,
                model=model,
                resources=resources,
            )
            if host is not None:
                await resources.enter_async_context(host)
            yield runtime

    @property
    def servers(self) -> tuple[ServerStatus, ...]:
        """How the registered MCP servers are, in the order of the configuration."""
        return self._host.statuses() if self._host else ()

    async def servers_settled(self) -> None:
        """Wait until every MCP server is ready or has failed."""
        if self._host:
            await self._host.settled()

    async def required_servers(self) -> None:
        """Wait until every MCP server that is ``required`` is ready.

        Raises:
            ServerUnavailableError: one of them failed.
        """
        if self._host:
            await self._host.required()

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

    async def agent(self) -> Agent:
        """An agent on the configured model and all tools. The first call loads the model.

        Raises:
            ModelError: the model is missing or cannot be loaded.
        """
        return Agent(await self.chat_model(), self.toolsets, _agent_options(self.config))

    async def chat_model(self) -> ChatModel:
        """The configured model; loaded by the first call, which takes seconds.

        Raises:
            ModelError: the model is missing or cannot be loaded.
        """
        async with self._loading:
            if self._model is None:
                self._model = await self._load_model()
            return self._model

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

    async def describe_model(self) -> ModelDescription:
        """What the configured model's file tells of it; it is not loaded to be run.

        Raises:
            ModelError: a file is missing or cannot be read, or there is no valid chat template.
            ConfigError: the model is on a server.
        """
        if isinstance(self.config.models.get(self.config.model or ""), RemoteModelConfig):
            raise ConfigError("this model is on a server: only files can be shown", key="model")
        return await to_thread.run_sync(_described, self._model_file(), self._template_file())

    async def _load_model(self) -> ChatModel:
        chosen = self.config.models.get(self.config.model or "")
        if isinstance(chosen, RemoteModelConfig):
            return await self._open_remote(chosen)
        return await self._open_local()

    async def _open_remote(self, config: RemoteModelConfig) -> ChatModel:
        from kronk_agent.chat.remote import RemoteChatModel, Upstream

        upstream = Upstream(**config.model_dump())
        return await self._resources.enter_async_context(RemoteChatModel.open(upstream))

    async def _open_local(self) -> ChatModel:
        from kronk_agent.chat.jinja import read_template
        from kronk_agent.chat.local import LocalChatModel
        from kronk_agent.engine.engine import Engine

        path, template = self._model_file(), self._template_file()
        templates = {"default": read_template(template)} if template else None
        params = _engine_params(self.config.engine)
        async with AsyncExitStack() as resources:
            engine = await resources.enter_async_context(await Engine.open(path, params))
            model = LocalChatModel(engine, id=path.stem, chat_templates=templates)
            # Only what is of use is kept: a model without a template is closed at once.
            self._resources.push_async_exit(resources.pop_all())
            return model

    def _model_file(self) -> Path:
        files = {
            name: m.path if isinstance(m, LocalModelConfig) else m
            for name, m in self.config.models.items()
            if not isinstance(m, RemoteModelConfig)
        }
        return find_model(self.config.model, names=files, base_dir=self._base_dir)

    def _template_file(self) -> Path | None:
        """The chat template to use instead of the one in the model's file, if there is one."""
        chosen = self.config.models.get(self.config.model or "")
        if not isinstance(chosen, LocalModelConfig) or chosen.template is None:
            return None
        return self._base_dir / chosen.template


def _engine_params(config: EngineConfig) -> EngineParams:
    from kronk_agent.engine.params import EngineParams, LoraAdapter

    lora = tuple(LoraAdapter(adapter.path, adapter.scale) for adapter in config.lora)
    return EngineParams(**config.model_dump(exclude={"lora"}), lora=lora)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What is known of a model from its file."""

    file: str
    description: str
    """Architecture, size and quantisation, in llama.cpp's words."""
    trained_context_length: int
    vocabulary_size: int
    chat_template: str | None
    """The file of the one that is used instead of the model's own."""
    capabilities: Capabilities


def _described(path: Path, template: Path | None) -> ModelDescription:
    from kronk_agent.chat.capabilities import find_capabilities
    from kronk_agent.chat.jinja import read_template
    from kronk_agent.chat.template import ChatTemplate
    from kronk_agent.engine.model import ModelFile

    given = {"default": read_template(template)} if template else None
    model = ModelFile(path)
    try:
        return ModelDescription(
            str(path),
            model.description,
            model.trained_context_length,
            model.vocabulary.size,
            str(template) if template else None,
            find_capabilities(ChatTemplate(given or model.chat_templates)),
        )
    finally:
        model.close()


def _agent_options(config: Config) -> AgentOptions:
    agent = config.agent.model_dump(exclude={"tool_choice"})
    return AgentOptions(
        **agent,
        tool_choice=ToolChoice.parse(config.agent.tool_choice),
        sampling=SamplingParams(**config.sampling.model_dump()),
    )


def _host(
    config: Config, get_model: Callable[[], Awaitable[ChatModel]], person: Person | None
) -> Host | None:
    if not config.mcp_servers:
        return None
    from kronk_agent.host import Host
    from kronk_agent.host.authenticate import authenticate

    return Host(config.mcp_servers, get_model=get_model, person=person, authenticate=authenticate)


def _own_tools(config: Config, base_dir: Path, given: Sequence[Tool]) -> tuple[Tool, ...]:
    tools = (*(_tool(name, config, base_dir) for name in config.tools), *given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tools are called {name!r}", key="tools")
    return tools


def _tool(name: str, config: Config, base_dir: Path) -> Tool:
    match name:
        case "web_search":
            return _web_search(config.web_search)
        case "web_fetch":
            return _web_fetch(config.web_fetch)
        case _:
            return load_tool(name, base_dir=base_dir)


def web_tools(config: Config) -> tuple[Tool, Tool]:
    """web_search and web_fetch as configured, for those who want nothing else."""
    return _web_search(config.web_search), _web_fetch(config.web_fetch)


def _web_search(config: WebSearchConfig) -> Tool:
    from kronk_tools.search import SearchResult
    from kronk_tools.search.providers import search_provider
    from kronk_tools.web_search import web_search_tool

    providers = [
        search_provider(
            provider.type,
            api_key=provider.api_key,
            base_url=provider.base_url,
            backends=provider.backends,
            results=[SearchResult(**page.model_dump()) for page in provider.results or ()],
            proxy=config.proxy,
            timeout_seconds=config.timeout_seconds,
        )
        for provider in config.providers
    ]
    return web_search_tool(
        providers=providers,
        region=config.region,
        timeout_seconds=config.timeout_seconds,
        cache_seconds=config.cache_seconds,
    )


def _web_fetch(config: WebFetchConfig) -> Tool:
    from kronk_tools.web_fetch import web_fetch_tool

    return web_fetch_tool(**config.model_dump())
