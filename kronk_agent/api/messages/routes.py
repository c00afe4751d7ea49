from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError, envelope
from kronk_agent.api.messages.request import Job, form_of, to_job
from kronk_agent.api.messages.response import whole_message
from kronk_agent.api.messages.stream import Form, MessageStream
from kronk_agent.api.messages.wire import CountTokensRequest, MessagesRequest
from kronk_agent.api.serving import Serving
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.api.wire import encode
from kronk_agent.messages import JsonObject


def router(serving: Serving) -> APIRouter:
    routes = APIRouter(tags=["messages"])

    @routes.post("/v1/messages", response_model=None)
    async def create_message(body: MessagesRequest, request: Request) -> Response:
        """Answer a conversation."""
        job = await _job(serving, body)
        form = form_of(body, job)
        if body.stream:

            async def produce(write: Write) -> None:
                async def send(event: JsonObject) -> None:
                    await write(_frame(event))

                await _run(job, form, send)

            return EventStream(
                produce,
                error_frame=_error_frame,
                keep_alive=_frame({"type": "ping"}),
                keep_alive_seconds=serving.config.keep_alive_seconds,
            )
        return JSONResponse(await while_connected(request, lambda: _collect(job, form)))

    @routes.post("/v1/messages/count_tokens")
    async def count_message_tokens(body: CountTokensRequest) -> dict[str, int]:
        """How many tokens a conversation has, with its tools."""
        job = await _job(serving, body)
        count = await job.agent.count_tokens(
            job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
        )
        return {"input_tokens": count}

    @routes.head("/", include_in_schema=False)
    async def is_there() -> Response:
        """Claude Code asks before its first request."""
        return Response()

    return routes


async def _job(serving: Serving, body: CountTokensRequest) -> Job:
    if body.names_servers:
        # A server that is still starting has no tools yet.
        await serving.runtime.servers_settled()
    servers = serving.runtime.config.mcp_servers
    return to_job(
        body,
        await serving.agent(body.model),
        serving.runtime.toolsets,
        {name: server.url for name, server in servers.items()},
    )


async def _run(job: Job, form: Form, send: Callable[[JsonObject], Awaitable[None]]) -> None:
    """Answer; what is sent begins with the answer, so that until then a failure has a status."""
    stream = MessageStream(form)
    running = job.agent.run(
        job.messages, tool_choice=job.tool_choice, client_tools=job.client_tools
    )
    async with running as run:
        async for event in run:
            for written in stream.write(event):
                await send(written)


async def _collect(job: Job, form: Form) -> JsonObject:
    events: list[JsonObject] = []

    async def keep(event: JsonObject) -> None:
        events.append(event)

    await _run(job, form, keep)
    return whole_message(events)


def _frame(event: JsonObject) -> str:
    return f"event: {event['type']}\ndata: {encode(event)}\n\n"


def _error_frame(error: HttpError) -> str:
    return _frame(envelope(error, "anthropic"))
