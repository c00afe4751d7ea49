from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError, envelope
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.anthropic_messages.collect import whole_message
from kronk_agent.api.protocols.anthropic_messages.encoder import MessageFormat, MessagesEncoder
from kronk_agent.api.protocols.anthropic_messages.request import Job as MessagesRun
from kronk_agent.api.protocols.anthropic_messages.request import form_of, to_job
from kronk_agent.api.protocols.anthropic_messages.schema import CountTokensRequest, MessagesRequest
from kronk_agent.api.protocols.anthropic_messages.tools import to_guests
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.api.tools.inline_mcp_servers import connect_inline_servers, with_inline_toolsets
from kronk_agent.api.tools.server_tools import require_ready
from kronk_agent.host import Host
from kronk_agent.messages import JsonObject


def router(models: ModelRouter) -> APIRouter:
    routes = APIRouter(tags=["messages"])

    @routes.post("/v1/messages", response_model=None)
    async def create_message(body: MessagesRequest, request: Request) -> Response:
        """Answer a conversation."""
        body = models.as_named(body)
        if body.stream:

            async def produce(write: Write) -> None:
                async def send(event: JsonObject) -> None:
                    await write(_frame(event))

                async with _job(models, body) as job:
                    await _run(job, form_of(body, job), send)

            return EventStream(
                produce,
                error_frame=_error_frame,
                keep_alive=_frame({"type": "ping"}),
                keep_alive_seconds=models.config.keep_alive_seconds,
            )
        return JSONResponse(await while_connected(request, lambda: _collect(models, body)))

    @routes.post("/v1/messages/count_tokens")
    async def count_message_tokens(body: CountTokensRequest) -> dict[str, int]:
        """How many tokens a conversation has, with its tools."""
        async with _job(models, models.as_named(body)) as job:
            return {"input_tokens": await _count(job)}

    @routes.head("/", include_in_schema=False)
    async def is_there() -> Response:
        """Claude Code asks before its first request."""
        return Response()

    return routes


@asynccontextmanager
async def _job(models: ModelRouter, body: CountTokensRequest) -> AsyncIterator[MessagesRun]:
    """What a request asks for; the servers it brings along are there inside the block."""
    if body.names_servers:
        # A server that is still starting has no tools yet.
        await models.runtime.wait_servers_ready()
    config = models.runtime.config
    agent = await models.agent(body.model)
    guests = to_guests(body.mcp_servers, config)
    if guests:
        current_client().need("agents")
    urls = {name: server.url for name, server in {**config.mcp_servers, **guests}.items()}
    async with connect_inline_servers(guests) as host:
        toolsets = models.runtime.toolsets
        if host is not None:
            _check_there(host, body)
            toolsets = with_inline_toolsets(toolsets, host)
        yield to_job(body, agent, toolsets, urls, guests)


def _check_there(host: Host, body: CountTokensRequest) -> None:
    """See that the servers a request brings along could be connected to.

    Raises:
        HttpError: one could not (424).
    """
    statuses = {status.name: status for status in host.statuses()}
    for index, server in enumerate(body.mcp_servers):
        if server.name in statuses:
            require_ready(statuses[server.name], f"mcp_servers.{index}")


async def _count(job: MessagesRun) -> int:
    """The tokens of the prompt of the model's first turn."""
    return await job.agent.count_tokens(
        job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
    )


async def _run(
    job: MessagesRun, form: MessageFormat, send: Callable[[JsonObject], Awaitable[None]]
) -> None:
    """Answer; what is sent begins with the answer, so that until then a failure has a status."""
    running = job.agent.run(
        job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
    )
    async with running as run:
        # The model reads the prompt meanwhile, which takes longer.
        is_streamed = job.agent.options.streamed
        stream = MessagesEncoder(form, prompt_tokens=await _count(job) if is_streamed else 0)
        async for event in run:
            for written in stream.write(event):
                await send(written)


async def _collect(models: ModelRouter, body: MessagesRequest) -> JsonObject:
    events: list[JsonObject] = []

    async def keep(event: JsonObject) -> None:
        events.append(event)

    async with _job(models, body) as job:
        await _run(job, form_of(body, job), keep)
    return whole_message(events)


def _frame(event: JsonObject) -> str:
    return f"event: {event['type']}\ndata: {encode(event)}\n\n"


def _error_frame(error: HttpError) -> str:
    return _frame(envelope(error, "anthropic"))
