"""The models of a configuration, by name."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import platformdirs
from anyio import to_thread

from kronk_agent.config.schema.config import Config
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.model import LocalModelConfig, RemoteModelConfig
from kronk_agent.errors import EngineError, InvalidRequestError, ModelError, UnknownModelError
from kronk_agent.model import Capability, ChatModel
from kronk_agent.models.store import STARTER_NAME, find_model
from kronk_agent.runtime.description import ModelDescription, describe
from kronk_agent.runtime.model_pool import Pool
from kronk_agent.runtime.pooled_model import PooledChatModel

if TYPE_CHECKING:
    from kronk_agent.chat.local import LocalChatModel
    from kronk_agent.chat.remote import RemoteChatModel
    from kronk_agent.engine.embedding.engine import EmbeddingEngine
    from kronk_agent.engine.engine import Engine
    from kronk_agent.engine.llama.params import EngineParams
    from kronk_agent.engine.vocabulary import Vocabulary

_MIB = 1 << 20
_FAILED_SECONDS = 60.0
"""Time until a model that cannot be used is tried again, if its files stay as they are."""

ModelPlace: TypeAlias = Literal["local", "remote", "given"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model there is to be had."""

    name: str
    place: ModelPlace
    """``local`` is a file, ``remote`` is on a server, ``given`` came with ``Runtime.open``."""
    is_default: bool
    is_loaded: bool


@dataclass(slots=True)
class _Generating:
    """A model that is loaded to generate; ``chat`` is there once it has been asked for."""

    engine: Engine
    chat: LocalChatModel | None = None

    async def close(self) -> None:
        await self.engine.close()


class _Known:
    """What was found of a model's files: its description, or why they cannot be used."""

    def __init__(self, stamp: object, found: ModelDescription | str) -> None:
        self.stamp = stamp
        """When the files were changed."""
        self.found = found
        is_failure = isinstance(found, str)
        self.until = time.monotonic() + _FAILED_SECONDS if is_failure else math.inf


class Models:
    """Finds, describes and loads models. Those on files are unloaded when room is wanted.

    Args:
        config: names them, and says how they are run.
        base_dir: what relative paths are relative to.
        given: more of them, ready to be used.
        default: the name of the one that is meant where none is named; None is the configured one.
    """

    def __init__(
        self,
        config: Config,
        *,
        base_dir: Path,
        given: Mapping[str, ChatModel],
        default: str | None = None,
    ) -> None:
        self._engine = config.engine
        self._base_dir = base_dir
        self._given = given
        self._configs: dict[str, LocalModelConfig | RemoteModelConfig] = {
            name: LocalModelConfig(path=model) if isinstance(model, Path) else model
            for name, model in config.models.items()
        }
        self.default = default or self._add_default(config.model)
        self._descriptions: dict[tuple[str, bool], _Known] = {}
        """By name and whether the template was tried."""
        self._describing = {name: anyio.Lock() for name in self._configs}
        self._pooled: dict[str, PooledChatModel] = {}
        self._vocabularies: dict[str, Vocabulary] = {}
        self._pool: Pool[_Generating | EmbeddingEngine] | None = None
        self._has_pool = anyio.Event()
        self._remote: dict[str, RemoteChatModel] = {}
        self._opening_remote = {name: anyio.Lock() for name in self._configs}
        self._resources = AsyncExitStack()

    def entries(self) -> tuple[ModelEntry, ...]:
        """All there are, the default first."""
        names = {self.default: None, **self._given, **self._configs}
        return tuple(
            ModelEntry(name, self.place(name), name == self.default, self._is_loaded(name))
            for name in names
        )

    def name(self, name: str | None) -> str:
        """The same name, or the default.

        Raises:
            UnknownModelError: there is no such model.
        """
        if name is None:
            return self.default
        if name not in self._given and name not in self._configs:
            known = [*self._given, *self._configs]
            nearest = difflib.get_close_matches(name, known, n=1) or known
            raise UnknownModelError(
                f"there is no model {name!r}; there is {', '.join(map(repr, nearest))}"
            )
        return name

    def place(self, name: str) -> ModelPlace:
        if name in self._given:
            return "given"
        return "remote" if isinstance(self._configs[name], RemoteModelConfig) else "local"

    async def capabilities(
        self, name: str | None, *, renders_template: bool = True
    ) -> frozenset[Capability]:
        """What a model can do; a file is read for it and not loaded to be run.

        Without ``renders_template``, thinking is only told of models that were asked for before.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: its file is missing or cannot be read.
        """
        name = self.name(name)
        if name in self._given:
            return self._given[name].info.capabilities
        config = self._configs[name]
        if isinstance(config, RemoteModelConfig):
            return frozenset({"chat", "tools"})
        return (await self.describe(name, renders_template=renders_template)).capabilities

    async def describe(
        self, name: str | None, *, renders_template: bool = True
    ) -> ModelDescription:
        """What a model's file tells of it.

        Args:
            name: the model; None is the default.
            renders_template: try what its chat template can, unless that is known already.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: a file is missing or cannot be read, or the chat template is not valid.
            InvalidRequestError: the model is no file.
        """
        name = self.name(name)
        config = self._local(name)
        path, template = self._path(config), self._template(config)
        stamp = [file and file.is_file() and file.stat().st_mtime_ns for file in (path, template)]
        async with self._describing[name]:
            for is_tried in (True, renders_template):
                known = self._descriptions.get((name, is_tried))
                if known is not None and known.stamp == stamp and time.monotonic() < known.until:
                    break
            else:
                found = await self._read(config, path, template, renders_template)
                known = self._descriptions[name, renders_template] = _Known(stamp, found)
        if isinstance(known.found, str):
            raise ModelError(known.found)
        return known.found

    async def _read(
        self, config: LocalModelConfig, path: Path, template: Path | None, renders_template: bool
    ) -> ModelDescription | str:
        """What a file tells, or why it cannot be used."""
        try:
            return await to_thread.run_sync(
                partial(
                    describe,
                    path,
                    template=template,
                    params=self._params(config),
                    pooling=config.pooling,
                    renders_template=renders_template,
                )
            )
        except ModelError as error:
            return str(error)

    async def chat_model(self, name: str | None) -> ChatModel:
        """A chat model; the first time it is loaded, which takes seconds.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it is missing, cannot be loaded, or has no chat template.
        """
        name = self.name(name)
        if name in self._given:
            return self._given[name]
        config = self._configs[name]
        if isinstance(config, RemoteModelConfig):
            return await self._open_remote(name, config)
        if name not in self._pooled:
            async with self._chat(name) as model:
                can = (await self.describe(name)).capabilities
                self._pooled[name] = PooledChatModel(
                    replace(model.info, capabilities=can),
                    partial(self._chat, name),
                    partial(self._count_tokens, name),
                )
        return self._pooled[name]

    @asynccontextmanager
    async def engine(self, name: str | None) -> AsyncIterator[Engine]:
        """The engine of a model, which stays loaded as long as the block lasts.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it cannot be loaded.
            InvalidRequestError: it is no file, or was not made to generate.
        """
        name = self.name(name)
        async with self._generating(name) as loaded:
            yield loaded.engine

    @contextmanager
    def loaded_engine(self, name: str | None) -> Iterator[Engine | None]:
        """The engine of a model that is loaded to generate, as long as the block lasts.

        Raises:
            UnknownModelError: there is no such model.
            InvalidRequestError: it is no file.
        """
        name = self.name(name)
        self._local(name)
        with self._limited().peek(name) as loaded:
            yield loaded.engine if isinstance(loaded, _Generating) else None

    @asynccontextmanager
    async def embedder(self, name: str | None) -> AsyncIterator[EmbeddingEngine]:
        """A model loaded to embed or to rank, as long as the block lasts.

        Raises:
            UnknownModelError: there is no such model.
            ModelError: it cannot be loaded.
            InvalidRequestError: it is no file, or was not made for that.
        """
        from kronk_agent.engine.embedding.engine import EmbeddingEngine

        name = self.name(name)
        config, about = self._local(name), await self.describe(name)
        if not about.capabilities & {"embed", "rerank"}:
            raise InvalidRequestError(
                f"the model {name!r} neither embeds nor ranks: name one made for that, or give "
                "this one `pooling` in the configuration",
                param="model",
            )
        params = self._params(config)
        if config.context_length is None:  # engine.context_length is about conversations
            params = replace(params, context_length=None)
        path = self._path(config)
        opening = partial(EmbeddingEngine.open, path, params, pooling=config.pooling)
        size = about.embedding_bytes
        async with self._limited().use(_keys(name)[1], size, opening) as loaded:
            assert isinstance(loaded, EmbeddingEngine)
            yield loaded

    async def unload(self, name: str | None) -> bool:
        """Unload a model on a file, unless it is in use; True if it was unloaded.

        Raises:
            UnknownModelError: there is no such model.
        """
        name = self.name(name)
        if self.place(name) != "local" or self._pool is None:
            return False
        return any([await self._pool.unload(key) for key in _keys(name)])

    def keep(self, name: str | None, seconds: float) -> None:
        """Set how long after its last use a model is unloaded; see ``Runtime.keep``.

        Raises:
            UnknownModelError: there is no such model.
        """
        name = self.name(name)
        if self._pool is not None:
            for key in _keys(name):
                self._pool.keep(key, seconds)

    def seconds_left(self, name: str | None) -> float | None:
        """Seconds until a model is unloaded if it is not used again; None if it is not loaded.

        Raises:
            UnknownModelError: there is no such model.
        """
        name, pool = self.name(name), self._pool
        left = [pool.seconds_left(key) for key in _keys(name)] if pool is not None else []
        return max((seconds for seconds in left if seconds is not None), default=None)

    async def unload_expired(self) -> None:
        """Unload models whose time set by ``keep`` has passed; runs until cancelled."""
        await self._has_pool.wait()
        await self._limited().close_expired()

    async def close(self) -> None:
        """Close all, whether in use or not."""
        try:
            if self._pool is not None:
                await self._pool.close()
        finally:
            await self._resources.aclose()

    # --- loading -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _generating(self, name: str) -> AsyncIterator[_Generating]:
        from kronk_agent.engine.engine import Engine

        config, about = self._local(name), await self.describe(name)
        if "generate" not in about.capabilities:
            can = " and ".join(sorted(about.capabilities)) or "nothing that is known here"
            raise InvalidRequestError(
                f"the model {name!r} cannot generate text; it can {can}", param="model"
            )
        path, params = self._path(config), self._params(config)

        async def open() -> _Generating:
            return _Generating(await Engine.open(path, params))

        async with self._limited().use(name, about.generation_bytes, open) as loaded:
            assert isinstance(loaded, _Generating)
            yield loaded

    @asynccontextmanager
    async def _chat(self, name: str) -> AsyncIterator[ChatModel]:
        """The chat model on an engine, made when it is first asked for."""
        async with self._generating(name) as loaded:
            if loaded.chat is None:
                loaded.chat = await to_thread.run_sync(self._chat_on, loaded.engine, name)
            yield loaded.chat

    def _chat_on(self, engine: Engine, name: str) -> LocalChatModel:
        from kronk_agent.chat.local import LocalChatModel
        from kronk_agent.chat.templates.jinja import read_template

        template = self._template(self._local(name))
        templates = {"default": read_template(template)} if template else None
        return LocalChatModel(engine, id=name, chat_templates=templates)

    async def _open_remote(self, name: str, config: RemoteModelConfig) -> ChatModel:
        from kronk_agent.chat.remote import RemoteChatModel, Upstream

        async with self._opening_remote[name]:
            if name not in self._remote:
                opening = RemoteChatModel.open(Upstream(**config.model_dump()))
                self._remote[name] = await self._resources.enter_async_context(opening)
            return self._remote[name]

    def _limited(self) -> Pool[_Generating | EmbeddingEngine]:
        """The pool; how much is free is asked when the first model is loaded."""
        if self._pool is None:
            said = self._engine.memory_mib
            limit = _free_bytes(self._engine) if said is None else said * _MIB
            self._pool = Pool(limit, is_limit_strict=said is not None)
            self._has_pool.set()
        return self._pool

    def _count_tokens(self, name: str, text: str) -> int:
        """Counts with the engine, or the vocabulary alone while it is not loaded. Blocks."""
        loaded = self._limited().loaded(name)
        if isinstance(loaded, _Generating):
            try:
                return loaded.engine.count_tokens(text)
            except EngineError:  # it was closed this moment
                pass
        return len(self._vocabulary(name).tokenize(text, parse_special=False))

    def _vocabulary(self, name: str) -> Vocabulary:
        from kronk_agent.engine.llama.model_file import ModelFile

        if name not in self._vocabularies:
            file = ModelFile(self._path(self._local(name)), is_described_only=True)
            self._resources.callback(file.close)
            self._vocabularies[name] = file.vocabulary
        return self._vocabularies[name]

    # --- the configuration ---------------------------------------------------------------------

    def _add_default(self, model: str | None) -> str:
        """The name of the configured model; one that is a path gets the name of its file."""
        if model in self._configs:
            return model
        stem = STARTER_NAME if model is None else Path(model).stem
        name = stem if stem not in self._configs or model is None else model
        self._configs[name] = LocalModelConfig(path=Path(model)) if model else _STARTER
        return name

    def _local(self, name: str) -> LocalModelConfig:
        config = self._configs.get(name)
        if not isinstance(config, LocalModelConfig):
            raise InvalidRequestError(
                f"the model {name!r} is not a file here, and this needs one", param="model"
            )
        return config

    def _path(self, config: LocalModelConfig) -> Path:
        if config is _STARTER:
            return find_model(None, names={}, base_dir=self._base_dir)
        return find_model(str(config.path), names={}, base_dir=self._base_dir)

    def _template(self, config: LocalModelConfig) -> Path | None:
        """The chat template to use instead of the one in the model's file, if there is one."""
        return None if config.template is None else self._base_dir / config.template

    def _params(self, config: LocalModelConfig) -> EngineParams:
        from kronk_agent.engine.llama.params import EngineParams, LoraAdapter

        said = self._engine
        lora = tuple(LoraAdapter(adapter.path, adapter.scale) for adapter in said.lora)
        params = EngineParams(
            **said.model_dump(exclude={"lora", "memory_mib", "cache_dir"}),
            lora=lora,
            cache_dir=_cache_dir(said),
        )
        if config.context_length is None:
            return params
        return replace(params, context_length=config.context_length)

    def _is_loaded(self, name: str) -> bool:
        if name in self._given or name in self._remote:
            return True
        pool = self._pool
        return pool is not None and any(pool.loaded(key) is not None for key in _keys(name))


_STARTER = LocalModelConfig(path=Path(STARTER_NAME))
"""Where its file is, is found when it is wanted: it may not be installed."""


def _keys(name: str) -> tuple[str, str]:
    """A model's keys in the pool: for generation, and for embedding and ranking."""
    return name, f"{name} (embedding)"


def _free_bytes(config: EngineConfig) -> int | None:
    """Memory of this machine that is free; None where models go to a GPU, whose is not known."""
    import psutil

    from kronk_agent.engine.llama.model_file import has_gpu

    if config.gpu_layers != 0 and has_gpu():
        return None
    return int(psutil.virtual_memory().available)


def _cache_dir(config: EngineConfig) -> Path | None:
    """The folder for prompts that are kept on disk; None where nothing is kept."""
    if config.cache_dir == "auto":
        return platformdirs.user_cache_path("kronk-agent", appauthor=False) / "prompts"
    return config.cache_dir or None
