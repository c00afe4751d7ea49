"""``/props`` and ``/slots``: the state of loaded models. Neither loads a model."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from kronk_agent import __version__
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.llama_server.encoder import settings_to_wire
from kronk_agent.engine.engine import Engine
from kronk_agent.engine.stats import SequenceState
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject
from kronk_agent.model import Capability


def router(models: ModelRouter) -> APIRouter:
    """The routes that show loaded models."""
    routes = APIRouter(tags=["llama.cpp"])

    @routes.get("/props", response_model=None)
    async def props(model: str | None = None) -> JsonObject:
        """Describe a loaded model and its default sampling."""
        name = models.resolve_id(model)
        can = await models.runtime.capabilities(name)
        with models.runtime.loaded_engine(name) as engine:
            if engine is None:
                raise InvalidRequestError(
                    f"model {name!r} is not loaded; its first completion loads it",
                    param="model",
                )
            about = await models.runtime.describe_model(name, renders_template=False)
            return {**_props(models, name, engine, can), "model_path": Path(about.file).name}

    @routes.get("/slots", response_model=None)
    async def slots(model: str | None = None) -> list[JsonObject]:
        """List running generations and idle slots of loaded models."""
        model = None if model is None else models.resolve_id(model)
        local = [entry.name for entry in models.runtime.models if entry.place == "local"]
        found: list[JsonObject] = []
        for name in local if model is None else [model]:
            with models.runtime.loaded_engine(name) as engine:
                if engine is not None:
                    found += await _slots(models, name, engine)
        return [{"id": index, **slot} for index, slot in enumerate(found)]

    return routes


def _props(
    models: ModelRouter, model: str, engine: Engine, can: frozenset[Capability]
) -> JsonObject:
    settings = settings_to_wire(models.sampling, context_length=engine.context_length)
    return {
        "default_generation_settings": {"n_ctx": engine.context_length, "params": settings},
        "total_slots": models.runtime.config.engine.max_sequences,
        "model_alias": model,
        "chat_template": engine.chat_templates.get("default", ""),
        "modalities": {"vision": "image" in can, "audio": "audio" in can},
        "bos_token": engine.vocabulary.bos_text,
        "eos_token": engine.vocabulary.eos_text,
        "build_info": f"kronk-agent-{__version__}",
        "is_sleeping": False,
    }


async def _slots(models: ModelRouter, model: str, engine: Engine) -> list[JsonObject]:
    stats = await engine.stats()
    running = [_busy_slot(one) for one in stats.sequences if one.state != "waiting"]
    number = models.runtime.config.engine.max_sequences
    idle: JsonObject = {"is_processing": False}
    slots = [*running, *[idle] * (number - len(running))]
    return [{"model": model, "n_ctx": engine.context_length, **slot} for slot in slots]


def _busy_slot(sequence: SequenceState) -> JsonObject:
    return {
        "is_processing": True,
        "n_prompt_tokens": sequence.prompt_tokens,
        "n_prompt_tokens_cache": sequence.cached_tokens,
        "n_prompt_tokens_processed": min(sequence.computed_tokens, sequence.prompt_tokens),
        "next_token": [{"n_decoded": sequence.generated_tokens}],
    }
