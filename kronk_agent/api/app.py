"""The FastAPI application: its routes, middleware and error handlers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from kronk_agent import __version__
from kronk_agent.api.endpoints import embeddings, health, models, reference, tokens
from kronk_agent.api.errors import error_response
from kronk_agent.api.middleware.api_keys import KeyFile
from kronk_agent.api.middleware.metrics import Metrics, MetricsMiddleware
from kronk_agent.api.middleware.metrics import router as metrics_router
from kronk_agent.api.middleware.security import RateLimits, SecurityMiddleware
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols import (
    anthropic_messages,
    llama_server,
    ollama,
    openai_chat,
    openai_completions,
    openai_responses,
)
from kronk_agent.errors import KronkError
from kronk_agent.runtime import Runtime


def create_app(runtime: Runtime, *, mcp_app: ASGIApp | None = None) -> FastAPI:
    """Create the application for an open runtime, configured by its ``server:`` section.

    Args:
        runtime: closed by the caller, after the application has stopped.
        mcp_app: served at ``/mcp``, if given.
    """
    config = runtime.config.server
    limits = RateLimits(config.max_requests, config.share_of_caller)
    metrics = Metrics(limits)
    model_router = ModelRouter(runtime, config, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Record when the server started, and unload models whose ``keep_alive`` has passed."""
        model_router.started = int(time.time())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.unload_expired)
            yield
            tasks.cancel_scope.cancel()

    app = FastAPI(
        title="kronk-agent",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # endpoints/reference serves them, without third-party scripts
        redoc_url=None,
    )
    for error in (KronkError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, _on_error)
    app.include_router(reference.router())
    app.include_router(health.router(model_router))
    app.include_router(models.router(model_router))
    app.include_router(openai_chat.router(model_router))
    app.include_router(openai_chat.template_router(model_router))
    app.include_router(anthropic_messages.router(model_router))
    app.include_router(openai_responses.router(model_router))
    app.include_router(openai_responses.conversations_router(model_router))
    app.include_router(openai_completions.router(model_router))
    app.include_router(llama_server.router(model_router))
    app.include_router(llama_server.introspection_router(model_router))
    app.include_router(ollama.router(model_router))
    app.include_router(ollama.models_router(model_router))
    app.include_router(embeddings.router(model_router))
    app.include_router(tokens.router(model_router))
    app.include_router(metrics_router(metrics, runtime))
    app.add_middleware(SecurityMiddleware, config=config, keys=KeyFile(), limits=limits)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    if mcp_app is not None:
        app.router.routes.append(Route("/mcp", mcp_app))
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(error, request.scope)
