"""``/metrics``, in Prometheus' text form."""

from __future__ import annotations

import time

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as rendered
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kronk_agent.api.middleware.engine_metrics import EngineMetrics
from kronk_agent.api.middleware.rate_limits import RateLimits
from kronk_agent.runtime import Runtime

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """What is counted of one application."""

    def __init__(self, limits: RateLimits) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self.requests = Counter(
            "kronk_agent_http_requests",
            "Requests that were answered.",
            (*labels, "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "kronk_agent_http_request_seconds",
            "From a request to the end of its response.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_byte_seconds = Histogram(
            "kronk_agent_http_first_byte_seconds",
            "From a request to the start of its response.",
            labels,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.tokens = Counter(
            "kronk_agent_tokens",
            "Tokens of requests: read, found in the cache, written.",
            ("model", "kind"),
            registry=self.registry,
        )
        under_way = Gauge(
            "kronk_agent_http_requests_under_way",
            "Requests that are being answered.",
            registry=self.registry,
        )
        under_way.set_function(lambda: limits.num_under_way)


class MetricsMiddleware:
    """Counts the requests to an application, and how long they take."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        first_byte = 0.0

        async def sending(message: Message) -> None:
            nonlocal status, first_byte
            if message["type"] == "http.response.start":
                status = message["status"]
                first_byte = time.perf_counter() - started
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            # A path that is no route's may be anything, and each would be a series of its own.
            route = getattr(scope.get("route"), "path", "none")
            labels = (scope["method"], route)
            self._metrics.requests.labels(*labels, str(status or 499)).inc()
            self._metrics.seconds.labels(*labels).observe(time.perf_counter() - started)
            self._metrics.first_byte_seconds.labels(*labels).observe(first_byte)


def router(metrics: Metrics, runtime: Runtime) -> APIRouter:
    routes = APIRouter(tags=["server"])

    @routes.get("/metrics")
    async def get_metrics() -> Response:
        """What a Prometheus server collects."""
        engines = await EngineMetrics.of(runtime)
        text = rendered(metrics.registry) + rendered(engines)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return routes
