"""What models there are, as Ollama lists, shows, loads and unloads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import ConfigDict

from kronk_agent import __version__
from kronk_agent.api.errors import HttpError
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import ModelRouter, ServedModel
from kronk_agent.api.protocols.common.schema import LenientModel, UnicodeBody, encode
from kronk_agent.api.protocols.ollama.encoder import MEDIA_TYPE, moment
from kronk_agent.engine.llama.model_file import has_gpu
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.model import Capability
from kronk_agent.runtime.description import ModelDescription

API_VERSION = "0.32.0"
"""Of Ollama, whose API this is; clients look at it for what there is."""

_LATEST = ":latest"
_NEVER = "9999-12-31T23:59:59Z"
_CAPABILITIES: dict[Capability, str] = {
    "generate": "completion",
    "chat": "completion",
    "tools": "tools",
    "thinking": "thinking",
    "image": "vision",
    "audio": "audio",
    "fim": "insert",
    "embed": "embedding",
}


class Named(LenientModel, UnicodeBody):
    """A request about a model."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    name: str = ""
    """The same, by its old name."""

    @property
    def given(self) -> str:
        if not self.model and not self.name:
            raise InvalidRequestError("model: Field required", param="model")
        return self.model or self.name


class PullRequest(Named):
    stream: bool = True


class ShowRequest(Named):
    verbose: bool = False
    """Lists are left out of ``model_info`` either way."""


def router(models: ModelRouter) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["ollama"])

    @routes.get("/", include_in_schema=False)
    async def is_running() -> Response:
        """Ollama's clients ask it to see if there is a server."""
        return PlainTextResponse("Ollama is running")

    @routes.get("/api/version")
    async def version() -> dict[str, str]:
        """The version of Ollama's API that is spoken here, and ours."""
        return {"version": API_VERSION, "kronk_agent": __version__}

    @routes.get("/api/tags", response_model=None)
    async def tags() -> JsonObject:
        """The models and agents there are."""
        found = [await _listed(models, one) for one in await models.served()]
        return {"models": [one.to_wire() for one in found if one is not None]}

    @routes.get("/api/ps", response_model=None)
    async def ps() -> JsonObject:
        """The models on files that are loaded."""
        found: list[JsonValue] = []
        for entry in models.runtime.models:
            if entry.is_loaded and entry.place == "local":
                about = await models.runtime.describe_model(entry.name, renders_template=False)
                found.append(_loaded(models, _Listed(entry.name, about, 0)))
        return {"models": found}

    @routes.post("/api/show", response_model=None)
    async def show(body: ShowRequest) -> JsonObject:
        """One of them: what it can do, and what its file says of itself."""
        id = model_id(models, body.given)
        return await _shown(models, id)

    @routes.post("/api/pull", response_model=None)
    async def pull(body: PullRequest) -> Response:
        """Says that a model is there; nothing is downloaded."""
        id = model_id(models, body.given)
        if id not in [one.id for one in await models.served()]:
            raise HttpError(
                f"there is no model {body.given!r} here, and none is downloaded over HTTP: put a "
                "GGUF file's path under models in the server's YAML",
                status=404,
            )
        done = {"status": "success"}
        if body.stream:
            return Response(f"{encode(done)}\n", media_type=MEDIA_TYPE)
        return JSONResponse(done)

    @routes.post("/api/push", response_model=None, include_in_schema=False)
    @routes.post("/api/create", response_model=None, include_in_schema=False)
    @routes.post("/api/copy", response_model=None, include_in_schema=False)
    @routes.delete("/api/delete", response_model=None, include_in_schema=False)
    async def not_here() -> Response:
        """Refused: the server's YAML says which models there are."""
        raise HttpError(
            "the server's YAML says which models there are: models are neither made, copied, "
            "pushed nor deleted over HTTP",
            status=501,
        )

    return routes


def model_id(models: ModelRouter, name: str) -> str:
    """The id of the model that Ollama's clients call by this name: they add ``:latest``."""
    known = {entry.name for entry in models.runtime.models}
    return models.named(name if name in known else name.removesuffix(_LATEST))


async def load(models: ModelRouter, id: str) -> None:
    """Load a model for what it was made for.

    Raises:
        UnknownModelError, ModelError, InvalidRequestError: it cannot be had.
    """
    name = models.model_of(id)
    can = await models.runtime.capabilities(name)
    if "generate" in can:
        async with models.runtime.engine(name):
            pass
    elif can & {"embed", "rerank"}:
        async with models.runtime.embedder(name):
            pass
    else:  # on a server
        await models.agent(id)


async def unload(models: ModelRouter, id: str) -> str | None:
    """Unload a model that nobody uses; why it stays loaded, where the caller may not.

    All callers share it, so this needs the scope ``admin``.
    """
    if "admin" not in current_client().scopes:
        return "keep_alive: this API key is not for admin, so the model stays loaded"
    await models.runtime.unload(models.model_of(id))
    return None


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model as it is listed."""

    id: str
    about: ModelDescription | None
    """None where it is no file."""
    started: int
    """When the server was, in seconds since 1970."""

    @property
    def name(self) -> str:
        """With a tag, as all names of Ollama's have."""
        return self.id if ":" in self.id else self.id + _LATEST

    @property
    def digest(self) -> str:
        """Another one for each state of the file; the file is not read for it."""
        stat = Path(self.about.file).stat() if self.about else None
        state = f"{stat.st_size}:{stat.st_mtime_ns}" if stat else ""
        return hashlib.sha256(f"{self.id}:{state}".encode()).hexdigest()

    @property
    def modified_at(self) -> str:
        return moment(Path(self.about.file).stat().st_mtime if self.about else self.started)

    @property
    def size(self) -> int:
        """Bytes of the file; 0 where there is none."""
        return Path(self.about.file).stat().st_size if self.about else 0

    @property
    def details(self) -> JsonObject:
        about = self.about
        family = str(about.metadata.get("general.architecture", "")) if about else ""
        return {
            "parent_model": "",
            "format": "gguf" if about else "",
            "family": family,
            "families": [family] if family else [],
            "parameter_size": _short(about.num_parameters) if about else "",
            "quantization_level": about.quantization if about else "",
        }

    def to_wire(self) -> JsonObject:
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": self.modified_at,
            "size": self.size,
            "digest": self.digest,
            "details": self.details,
        }


async def _listed(models: ModelRouter, served: ServedModel) -> _Listed | None:
    """None for a model that cannot be had."""
    if served.problem is not None:
        return None
    about = await _about(models, served.id, renders_template=False)
    return _Listed(served.id, about, models.started)


async def _about(
    models: ModelRouter, id: str, *, renders_template: bool
) -> ModelDescription | None:
    """What the file of a model tells; None where it is no file.

    Raises:
        UnknownModelError, ModelError: it cannot be had.
    """
    name = models.model_of(id) or models.runtime.models[0].name
    places = {entry.name: entry.place for entry in models.runtime.models}
    if places.get(name, "local") != "local":
        return None
    runtime = models.runtime
    return await runtime.describe_model(name, renders_template=renders_template)


async def _shown(models: ModelRouter, id: str) -> JsonObject:
    found = next((one for one in await models.served() if one.id == id), None)
    if found is not None and found.problem is not None:
        raise ModelError(found.problem)
    about = await _about(models, id, renders_template=True)
    listed = _Listed(id, about, models.started)
    can = await models.runtime.capabilities(models.model_of(id))
    given = {} if about is None else about.metadata
    names = dict.fromkeys(_CAPABILITIES[one] for one in _CAPABILITIES if one in can)
    return {
        "modelfile": f"FROM {listed.name}\n",
        "parameters": _parameters(models),
        "template": about.template_source if about else "",
        "license": str(given.get("general.license", "")),
        "modified_at": listed.modified_at,
        "details": listed.details,
        "model_info": {
            "general.architecture": "",
            **given,
            **({} if about is None else {"general.parameter_count": about.num_parameters}),
        },
        "capabilities": list(names),
    }


def _loaded(models: ModelRouter, listed: _Listed) -> JsonObject:
    about = listed.about
    assert about is not None
    with models.runtime.loaded_engine(listed.id) as engine:
        size = about.embedding_bytes if engine is None else about.generation_bytes
        length = about.trained_context_length if engine is None else engine.context_length
    return {
        "name": listed.name,
        "model": listed.name,
        "size": size,
        "digest": listed.digest,
        "details": listed.details,
        "expires_at": _NEVER,
        "size_vram": int(size * _share_on_gpu(models, about)),
        "context_length": length,
    }


def _share_on_gpu(models: ModelRouter, about: ModelDescription) -> float:
    """Of the model's layers; an estimate, for llama.cpp decides what fits."""
    layers = models.runtime.config.engine.gpu_layers
    if not has_gpu():
        return 0.0
    architecture = about.metadata.get("general.architecture")
    count = about.metadata.get(f"{architecture}.block_count")
    if layers < 0 or not isinstance(count, int):
        return 1.0 if layers else 0.0
    return min(1.0, layers / (count + 1))


def _parameters(models: ModelRouter) -> str:
    """What is sampled with, where a request does not say."""
    names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n")
    return "\n".join(f"{name:<30} {getattr(models.sampling, name)}" for name in names)


def _short(number: int) -> str:
    """A number of parameters, such as 8.2B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
