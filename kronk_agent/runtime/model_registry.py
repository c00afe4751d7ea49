"""The registry of models by name: finds, describes and loads them."""

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
_FAILURE_TTL_SECONDS = 60.0
"""Time until an unusable model is tried again if its files have not changed."""

ModelPlace: TypeAlias = Literal["local", "remote", "given"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A registered model."""

    name: str
    place: ModelPlace
    """``local``: a file; ``remote``: on a server; ``given``: passed to ``Runtime.open``."""
    is_default: bool
    is_loaded: bool


@dataclass(slots=True)
class _Generating:
    """A model loaded for generation; ``chat`` is created on first use."""

    engine: Engine
    chat: LocalChatModel | None = None

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()


class _CachedDescription:
    """A model's description, or the reason why its files cannot be used."""

    def __init__(self, stamp: object, found: ModelDescription | str) -> None:
        self.stamp = stamp
        """Modification times of the files."""
        self.found = found
        is_failure = isinstance(found, str)
        self.until = time.monotonic() + _FAILURE_TTL_SECONDS if is_failure else math.inf


class Models:
    """Registry that finds, describes and loads models. Local ones are unloaded to free memory.

    Args:
        config: names the models and their settings.
        base_dir: directory that relative paths refer to.
        given: additional models, ready for use.
        default: name of the default model; None means the configured one.
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
        self._descriptions: dict[tuple[str, bool], _CachedDescription] = {}
        """By name and whether the chat template was rendered."""
        self._describing = {name: anyio.Lock() for name in self._configs}
        self._pooled: dict[str, PooledChatModel] = {}
        self._vocabularies: dict[str, Vocabulary] = {}
        self._pool: Pool[_Generating | EmbeddingEngine] | None = None
        self._has_pool = anyio.Event()
        self._remote: dict[str, RemoteChatModel] = {}
        self._opening_remote = {name: anyio.Lock() for name in self._configs}
        self._resources = AsyncExitStack()

    def entries(self) -> tuple[ModelEntry, ...]:
        """Return all models, the default first."""
        names = {self.default: None, **self._given, **self._configs}
        return tuple(
            ModelEntry(name, self.place(name), name == self.default, self._is_loaded(name))
            for name in names
        )

    def name(self, name: str | None) -> str:
        """Return the given name, or the default's if None.

        Raises:
            UnknownModelError: no model has that name.
        """
        if name is None:
            return self.default
        if name not in self._given and name not in self._configs:
            names = [*self._given, *self._configs]
            nearest = difflib.get_close_matches(name, names, n=1) or names
            raise UnknownModelError(
                f"unknown model {name!r}; available: {', '.join(map(repr, nearest))}"
            )
        return name

    def place(self, name: str) -> ModelPlace:
        """Return where the model is."""
        if name in self._given:
            return "given"
        return "remote" if isinstance(self._configs[name], RemoteModelConfig) else "local"

    async def capabilities(
        self, name: str | None, *, renders_template: bool = True
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
        """Return the description of a local model.

        Args:
            name: the model; None means the default.
            renders_template: render the chat template, unless that was done before.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: a file is missing or unreadable, or the chat template is invalid.
            InvalidRequestError: the model is not local.
        """
        name = self.name(name)
        config = self._local(name)
        path, template = self._path(config), self._template(config)
        stamp = [file and file.is_file() and file.stat().st_mtime_ns for file in (path, template)]
        async with self._describing[name]:
            for is_tried in (True, renders_template):
                cached = self._descriptions.get((name, is_tried))
                if cached is not None and cached.stamp == stamp and time.monotonic() < cached.until:
                    break
            else:
                found = await self._read(config, path, template, renders_template)
                cached = self._descriptions[name, renders_template] = _CachedDescription(
                    stamp, found
                )
        if isinstance(cached.found, str):
            raise ModelError(cached.found)
        return cached.found

    async def _read(
        self, config: LocalModelConfig, path: Path, template: Path | None, renders_template: bool
    ) -> ModelDescription | str:
        """Return the description, or the error message if the file cannot be used."""
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
        """Return a chat model; the first call loads it, which takes seconds.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model is missing, cannot be loaded, or has no chat template.
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
        """Yield the engine of a local model, kept loaded inside the block.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model cannot be loaded.
            InvalidRequestError: the model is not local, or cannot generate.
        """
        name = self.name(name)
        async with self._generating(name) as loaded:
            yield loaded.engine

    @contextmanager
    def loaded_engine(self, name: str | None) -> Iterator[Engine | None]:
        """Yield the engine of a model if it is loaded for generation, else None.

        Raises:
            UnknownModelError: no model has that name.
            InvalidRequestError: the model is not local.
        """
        name = self.name(name)
        self._local(name)
        with self._model_pool().peek(name) as loaded:
            yield loaded.engine if isinstance(loaded, _Generating) else None

    @asynccontextmanager
    async def embedder(self, name: str | None) -> AsyncIterator[EmbeddingEngine]:
        """Yield a model loaded for embedding or reranking, kept loaded inside the block.

        Raises:
            UnknownModelError: no model has that name.
            ModelError: the model cannot be loaded.
            InvalidRequestError: the model is not local, or supports neither.
        """
        from kronk_agent.engine.embedding.engine import EmbeddingEngine

        name = self.name(name)
        config, about = self._local(name), await self.describe(name)
        if not about.capabilities & {"embed", "rerank"}:
            raise InvalidRequestError(
                f"model {name!r} supports neither embedding nor reranking: use another model, or "
                "set its `pooling` in the configuration",
                param="model",
            )
        params = self._params(config)
        if config.context_length is None:  # engine.context_length applies to conversations only
            params = replace(params, context_length=None)
        path = self._path(config)
        opening = partial(EmbeddingEngine.open, path, params, pooling=config.pooling)
        size = about.embedding_bytes
        async with self._model_pool().use(_keys(name)[1], size, opening) as loaded:
            assert isinstance(loaded, EmbeddingEngine)
            yield loaded

    async def unload(self, name: str | None) -> bool:
        """Unload a local model unless it is in use; returns True if it was unloaded.

        Raises:
            UnknownModelError: no model has that name.
        """
        name = self.name(name)
        if self.place(name) != "local" or self._pool is None:
            return False
        return any([await self._pool.unload(key) for key in _keys(name)])

    def keep(self, name: str | None, seconds: float) -> None:
        """Set how long after its last use a model is unloaded; see ``Runtime.keep``.

        Raises:
            UnknownModelError: no model has that name.
        """
        name = self.name(name)
        if self._pool is not None:
            for key in _keys(name):
                self._pool.keep(key, seconds)

    def seconds_left(self, name: str | None) -> float | None:
        """Seconds until a model is unloaded if it is not used again; None if it is not loaded.

        Raises:
            UnknownModelError: no model has that name.
        """
        name, pool = self.name(name), self._pool
        left = [pool.seconds_left(key) for key in _keys(name)] if pool is not None else []
        return max((seconds for seconds in left if seconds is not None), default=None)

    async def unload_expired(self) -> None:
        """Unload models whose time set by ``keep`` has passed; runs until cancelled."""
        await self._has_pool.wait()
        await self._model_pool().close_expired()

    async def close(self) -> None:
        """Close all models, even if in use."""
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
            supported = ", ".join(sorted(about.capabilities)) or "none"
            raise InvalidRequestError(
                f"model {name!r} cannot generate text; its capabilities: {supported}", param="model"
            )
        path, params = self._path(config), self._params(config)

        async def open() -> _Generating:
            return _Generating(await Engine.open(path, params))

        async with self._model_pool().use(name, about.generation_bytes, open) as loaded:
            assert isinstance(loaded, _Generating)
            yield loaded

    @asynccontextmanager
    async def _chat(self, name: str) -> AsyncIterator[ChatModel]:
        """Yield the chat model on the engine, created on first use."""
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

    def _model_pool(self) -> Pool[_Generating | EmbeddingEngine]:
        """Return the pool; the free memory is measured when the first model is loaded."""
        if self._pool is None:
            configured = self._engine.memory_mib
            limit = _free_bytes(self._engine) if configured is None else configured * _MIB
            self._pool = Pool(limit, is_limit_strict=configured is not None)
            self._has_pool.set()
        return self._pool

    def _count_tokens(self, name: str, text: str) -> int:
        """Count tokens with the engine, or with the vocabulary alone if not loaded. Blocks."""
        loaded = self._model_pool().loaded(name)
        if isinstance(loaded, _Generating):
            try:
                return loaded.engine.count_tokens(text)
            except EngineError:  # closed in the meantime
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
        """Register the configured model and return its name; a path is named after its file."""
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
                f"model {name!r} is not a local file, which this operation requires", param="model"
            )
        return config

    def _path(self, config: LocalModelConfig) -> Path:
        if config is _STARTER:
            return find_model(None, names={}, base_dir=self._base_dir)
        return find_model(str(config.path), names={}, base_dir=self._base_dir)

    def _template(self, config: LocalModelConfig) -> Path | None:
        """Return the chat template that replaces the one in the file; None without one."""
        return None if config.template is None else self._base_dir / config.template

    def _params(self, config: LocalModelConfig) -> EngineParams:
        from kronk_agent.engine.llama.params import EngineParams, LoraAdapter

        configured = self._engine
        lora = tuple(LoraAdapter(adapter.path, adapter.scale) for adapter in configured.lora)
        params = EngineParams(
            **configured.model_dump(exclude={"lora", "memory_mib", "cache_dir"}),
            lora=lora,
            cache_dir=_cache_dir(configured),
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
"""Its file is located on use, since it may not be installed."""


def _keys(name: str) -> tuple[str, str]:
    """A model's keys in the pool: for generation, and for embedding and ranking."""
    return name, f"{name} (embedding)"


def _free_bytes(config: EngineConfig) -> int | None:
    """Return the free memory of this machine; None for models on a GPU, whose memory is unknown."""
    import psutil

    from kronk_agent.engine.llama.model_file import has_gpu

    if config.gpu_layers != 0 and has_gpu():
        return None
    return int(psutil.virtual_memory().available)


def _cache_dir(config: EngineConfig) -> Path | None:
    """Return the directory of the on-disk prompt cache; None if disabled."""
    if config.cache_dir == "auto":
        return platformdirs.user_cache_path("kronk-agent", appauthor=False) / "prompts"
    return config.cache_dir or None
