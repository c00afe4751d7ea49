"""``/health``: availability of the default model."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.model_router import ModelRouter


def router(models: ModelRouter) -> APIRouter:
    """The routes for health checks."""
    routes = APIRouter(tags=["server"])

    @routes.get("/health", response_model=None)
    @routes.get("/v1/health", include_in_schema=False, response_model=None)
    async def health() -> Response:
        """Report whether the default model is available (200) or not (503, with the reason)."""
        default = (await models.served())[0]
        if default.problem is not None:
            return JSONResponse({"status": "error", "error": default.problem}, status_code=503)
        return JSONResponse({"status": "ok", "model": default.id, "loaded": default.is_loaded})

    return routes
