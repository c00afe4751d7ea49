"""Lists, shows, loads and unloads models, in Ollama's format."""

from __future__ import annotations

import hashlib
import math
import time
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
"""The version of Ollama's API implemented here; clients check it for features."""

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


class ModelRequest(LenientModel, UnicodeBody):
    """A request about a model."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    name: str = ""
    """Former name of model."""

    @property
    def given(self) -> str:
        """The requested model.

        Raises:
            InvalidRequestError: no model is named.
        """
        if not self.model and not self.name:
            raise InvalidRequestError("model: Field required", param="model")
        return self.model or self.name


class PullRequest(ModelRequest):
    """A request for ``/api/pull``."""

    stream: bool = True


class ShowRequest(ModelRequest):
    """A request for ``/api/show``."""

    verbose: bool = False
    """No effect: lists are always left out of ``model_info``."""


def router(models: ModelRouter) -> APIRouter:
    """The routes that list and show models."""
    routes = APIRouter(tags=["ollama"])

    @routes.get("/", include_in_schema=False)
    async def is_running() -> Response:
        """Answer the check by which Ollama's clients detect a server."""
        return PlainTextResponse("Ollama is running")

    @routes.get("/api/version")
    async def version() -> dict[str, str]:
        """Return the version of Ollama's API, and our own."""
        return {"version": API_VERSION, "kronk_agent": __version__}

    @routes.get("/api/tags", response_model=None)
    async def tags() -> JsonObject:
        """List the available models and agents."""
        found = [await _listed(models, one) for one in await models.served()]
        return {"models": [one.to_wire() for one in found if one is not None]}

    @routes.get("/api/ps", response_model=None)
    async def ps() -> JsonObject:
        """List the loaded local models."""
        found: list[JsonValue] = []
        for entry in models.runtime.models:
            if entry.is_loaded and entry.place == "local":
                about = await models.runtime.describe_model(entry.name, renders_template=False)
                found.append(_loaded(models, _Listed(entry.name, about, 0)))
        return {"models": found}

    @routes.post("/api/show", response_model=None)
    async def show(body: ShowRequest) -> JsonObject:
        """Describe a model: its capabilities and its file's metadata."""
        id = model_id(models, body.given)
        return await _shown(models, id)

    @routes.post("/api/pull", response_model=None)
    async def pull(body: PullRequest) -> Response:
        """Confirm that a model is available; nothing is downloaded."""
        id = model_id(models, body.given)
        if id not in [one.id for one in await models.served()]:
            raise HttpError(
                f"unknown model {body.given!r}; models are not downloaded over HTTP: add a GGUF "
                "file's path under models in the server's YAML",
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
    async def reject_changes() -> Response:
        """Reject changes: models are configured in the server's YAML."""
        raise HttpError(
            "models are configured in the server's YAML; they cannot be created, copied, pushed "
            "or deleted over HTTP",
            status=501,
        )

    return routes


def model_id(models: ModelRouter, name: str) -> str:
    """Resolve a name from Ollama's clients, which append ``:latest``."""
    names = {entry.name for entry in models.runtime.models}
    return models.resolve_id(name if name in names else name.removesuffix(_LATEST))


async def load(models: ModelRouter, id: str) -> None:
    """Load a model for what it can do.

    Raises:
        UnknownModelError, ModelError, InvalidRequestError: the model is unavailable.
    """
    name = models.model_of(id)
    can = await models.runtime.capabilities(name)
    if "generate" in can:
        async with models.runtime.engine(name):
            pass
    elif can & {"embed", "rerank"}:
        async with models.runtime.embedder(name):
            pass
    else:  # a remote model
        await models.agent(id)


async def keep(models: ModelRouter, id: str, seconds: float) -> str | None:
    """Set how long after its last use a model is unloaded; returns a notice if the key may not.

    All clients share the model, so this requires the scope ``admin``.

    Args:
        models: resolves the model.
        id: the ID of the model, or of an agent that uses it.
        seconds: 0 unloads it now, or once it is idle; infinity only when memory is needed.
    """
    if "admin" not in current_client().scopes:
        return "keep_alive: the API key lacks the scope admin, so the model stays loaded as before"
    name = models.model_of(id)
    models.runtime.keep(name, seconds=seconds)
    if seconds == 0:
        await models.runtime.unload(name)
    return None


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model in a listing."""

    id: str
    about: ModelDescription | None
    """None if it is not a local file."""
    started: int
    """Start time of the server, in seconds since 1970."""

    @property
    def name(self) -> str:
        """The id with a tag, as Ollama's names always have one."""
        return self.id if ":" in self.id else self.id + _LATEST

    @property
    def digest(self) -> str:
        """Changes with the file's size and modification time; the file is not read."""
        stat = Path(self.about.file).stat() if self.about else None
        state = f"{stat.st_size}:{stat.st_mtime_ns}" if stat else ""
        return hashlib.sha256(f"{self.id}:{state}".encode()).hexdigest()

    @property
    def modified_at(self) -> str:
        """Modification time of the file; without a file, the server's start time."""
        return moment(Path(self.about.file).stat().st_mtime if self.about else self.started)

    @property
    def size(self) -> int:
        """Bytes of the file; 0 without a file."""
        return Path(self.about.file).stat().st_size if self.about else 0

    @property
    def details(self) -> JsonObject:
        """Ollama's ``details`` of the model."""
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
        """The model's entry in a listing."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": self.modified_at,
            "size": self.size,
            "digest": self.digest,
            "details": self.details,
        }


async def _listed(models: ModelRouter, served: ServedModel) -> _Listed | None:
    """The listed model; None if it is unavailable."""
    if served.problem is not None:
        return None
    about = await _about(models, served.id, renders_template=False)
    return _Listed(served.id, about, models.started)


async def _about(
    models: ModelRouter, id: str, *, renders_template: bool
) -> ModelDescription | None:
    """Describe a model's file; None if it is not a local file.

    Raises:
        UnknownModelError, ModelError: the model is unavailable.
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
    left = models.runtime.seconds_left(listed.id)
    with models.runtime.loaded_engine(listed.id) as engine:
        size = about.embedding_bytes if engine is None else about.generation_bytes
        length = about.trained_context_length if engine is None else engine.context_length
    return {
        "name": listed.name,
        "model": listed.name,
        "size": size,
        "digest": listed.digest,
        "details": listed.details,
        "expires_at": _NEVER if left in (None, math.inf) else moment(time.time() + left),
        "size_vram": int(size * _share_on_gpu(models, about)),
        "context_length": length,
    }


def _share_on_gpu(models: ModelRouter, about: ModelDescription) -> float:
    """Estimated share of the model's layers on the GPU; llama.cpp decides what really fits."""
    layers = models.runtime.config.engine.gpu_layers
    if not has_gpu():
        return 0.0
    architecture = about.metadata.get("general.architecture")
    count = about.metadata.get(f"{architecture}.block_count")
    if layers < 0 or not isinstance(count, int):
        return 1.0 if layers else 0.0
    return min(1.0, layers / (count + 1))


def _parameters(models: ModelRouter) -> str:
    """The default sampling parameters, in the format of a modelfile."""
    names = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n")
    return "\n".join(f"{name:<30} {getattr(models.sampling, name)}" for name in names)


def _short(number: int) -> str:
    """A parameter count such as 8.2B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
