"""``/v1/models``, in OpenAI's format, or in Anthropic's for clients that ask for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from kronk_agent.api.errors import HttpError, protocol_of
from kronk_agent.api.model_router import ModelRouter, ServedModel


def router(model_router: ModelRouter) -> APIRouter:
    """The routes that list models and agents."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models")
    @routes.get("/models", include_in_schema=False)
    async def list_models(request: Request) -> dict[str, Any]:
        """List the available models and agents."""
        served = await model_router.served()
        if protocol_of(request.scope) == "anthropic":
            ids = [one.id for one in served]
            return {
                "data": [_anthropic(one, model_router.started) for one in served],
                "has_more": False,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
            }
        return {"object": "list", "data": [_openai(one, model_router.started) for one in served]}

    @routes.get("/v1/models/{id:path}")
    @routes.get("/models/{id:path}", include_in_schema=False)
    async def get_model(id: str, request: Request) -> dict[str, Any]:
        """Describe one model or agent, also by an alias."""
        resolved = model_router.resolve_id(id)
        for one in await model_router.served():
            if one.id == resolved:
                is_anthropic = protocol_of(request.scope) == "anthropic"
                return (_anthropic if is_anthropic else _openai)(one, model_router.started)
        raise HttpError(f"unknown model {id!r}", status=404, code="model_not_found", param="model")

    return routes


def _openai(served: ServedModel, created: int) -> dict[str, Any]:
    return {
        "id": served.id,
        "object": "model",
        "created": created,
        "owned_by": "kronk-agent",
        "kind": served.kind,
        "loaded": served.is_loaded,
        "capabilities": list(served.capabilities),
        **({} if served.problem is None else {"problem": served.problem}),
    }


def _anthropic(served: ServedModel, created: int) -> dict[str, Any]:
    return {
        "type": "model",
        "id": served.id,
        "display_name": served.id,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
    }
