from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError, envelope
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.anthropic_messages.collect import collect_message
from kronk_agent.api.protocols.anthropic_messages.encoder import MessageFormat, MessagesEncoder
from kronk_agent.api.protocols.anthropic_messages.request import MessagesRun, message_format, to_run
from kronk_agent.api.protocols.anthropic_messages.schema import CountTokensRequest, MessagesRequest
from kronk_agent.api.protocols.anthropic_messages.tools import to_inline_servers
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.api.tools.inline_mcp_servers import connect_inline_servers, with_inline_toolsets
from kronk_agent.api.tools.server_tools import require_ready
from kronk_agent.host import Host
from kronk_agent.messages import JsonObject


def router(models: ModelRouter) -> APIRouter:
    """The routes of the Messages API."""
    routes = APIRouter(tags=["messages"])

    @routes.post("/v1/messages", response_model=None)
    async def create_message(body: MessagesRequest, request: Request) -> Response:
        """Create a message."""
        body = models.with_resolved_id(body)
        if body.stream:

            async def produce(write: Write) -> None:
                """Stream the message."""

                async def send(event: JsonObject) -> None:
                    """Write an event."""
                    await write(_frame(event))

                async with _open_run(models, body) as job:
                    await _run(job, message_format(body, job), send)

            return EventStream(
                produce,
                error_frame=_error_frame,
                keep_alive=_frame({"type": "ping"}),
                keep_alive_seconds=models.config.keep_alive_seconds,
            )
        return JSONResponse(await while_connected(request, lambda: _collect(models, body)))

    @routes.post("/v1/messages/count_tokens")
    async def count_message_tokens(body: CountTokensRequest) -> dict[str, int]:
        """Count the tokens of a conversation with its tools."""
        async with _open_run(models, models.with_resolved_id(body)) as job:
            return {"input_tokens": await _count(job)}

    @routes.head("/", include_in_schema=False)
    async def answer_probe() -> Response:
        """Answer Claude Code's check before its first request."""
        return Response()

    return routes


@asynccontextmanager
async def _open_run(models: ModelRouter, body: CountTokensRequest) -> AsyncIterator[MessagesRun]:
    """Parse a request; its inline MCP servers are connected inside the block."""
    if body.names_servers:
        # A server that is still starting has no tools yet.
        await models.runtime.wait_servers_ready()
    config = models.runtime.config
    agent = await models.agent(body.model)
    inline_servers = to_inline_servers(body.mcp_servers, config)
    if inline_servers:
        current_client().need("agents")
    urls = {name: server.url for name, server in {**config.mcp_servers, **inline_servers}.items()}
    async with connect_inline_servers(inline_servers) as host:
        toolsets = models.runtime.toolsets
        if host is not None:
            _check_ready(host, body)
            toolsets = with_inline_toolsets(toolsets, host)
        yield to_run(body, agent, toolsets, urls, inline_servers)


def _check_ready(host: Host, body: CountTokensRequest) -> None:
    """Check that the request's inline servers are connected.

    Raises:
        HttpError: a server is unavailable (424).
    """
    statuses = {status.name: status for status in host.statuses()}
    for index, server in enumerate(body.mcp_servers):
        if server.name in statuses:
            require_ready(statuses[server.name], f"mcp_servers.{index}")


async def _count(job: MessagesRun) -> int:
    """Count the prompt tokens of the first turn."""
    return await job.agent.count_tokens(
        job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
    )


async def _run(
    job: MessagesRun, form: MessageFormat, send: Callable[[JsonObject], Awaitable[None]]
) -> None:
    """Run the request. Nothing is sent before the first event, so early errors get a status."""
    running = job.agent.run(
        job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
    )
    async with running as run:
        # Counting takes less time than the model's prefill, which runs meanwhile.
        is_streamed = job.agent.options.streamed
        stream = MessagesEncoder(form, prompt_tokens=await _count(job) if is_streamed else 0)
        async for event in run:
            for written in stream.write(event):
                await send(written)


async def _collect(models: ModelRouter, body: MessagesRequest) -> JsonObject:
    events: list[JsonObject] = []

    async def keep(event: JsonObject) -> None:
        """Collect an event."""
        events.append(event)

    async with _open_run(models, body) as job:
        await _run(job, message_format(body, job), keep)
    return collect_message(events)


def _frame(event: JsonObject) -> str:
    return f"event: {event['type']}\ndata: {encode(event)}\n\n"


def _error_frame(error: HttpError) -> str:
    return _frame(envelope(error, "anthropic"))
