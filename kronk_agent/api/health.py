"""``/health``: whether requests are answered."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.serving import Serving
from kronk_agent.errors import KronkError


def router(serving: Serving) -> APIRouter:
    routes = APIRouter(tags=["server"])

    @routes.get("/health")
    @routes.get("/v1/health", include_in_schema=False)
    async def health() -> Response:
        """200 when the default model answers; 503, with the reason, when it cannot be had."""
        try:
            await serving.runtime.chat_model()
        except KronkError as error:
            return JSONResponse({"status": "error", "error": str(error)}, status_code=503)
        return JSONResponse({"status": "ok"})

    return routes
