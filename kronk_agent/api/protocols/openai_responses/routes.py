from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.api.errors import HttpError
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.common.schema import encode, padding
from kronk_agent.api.protocols.openai_responses.background import Background, Watched
from kronk_agent.api.protocols.openai_responses.compaction import compact
from kronk_agent.api.protocols.openai_responses.context import read_given, read_past, store_of
from kronk_agent.api.protocols.openai_responses.encoder import WireEvent
from kronk_agent.api.protocols.openai_responses.items.included import Included, with_included
from kronk_agent.api.protocols.openai_responses.items.paging import page
from kronk_agent.api.protocols.openai_responses.items.references import resolve_references
from kronk_agent.api.protocols.openai_responses.request import Compact, CountTokens, CreateResponse
from kronk_agent.api.protocols.openai_responses.run import parse_request, run_response, with_tools
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject
from kronk_agent.sessions import FINAL, SessionStore, StoredResponse

_LOST_MESSAGE = "the server was stopped before the response was finished"


def router(models: ModelRouter) -> APIRouter:
    """The routes for responses."""
    background = Background()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        """Keep background responses running while the application is open."""
        async with background.open():
            yield

    routes = APIRouter(tags=["responses"])

    @routes.post("", response_model=None)
    async def create_response(body: CreateResponse, request: Request) -> Response:
        """Create a response, with an output item for each step."""
        needs_past = body.previous_response_id is not None or body.conversation is not None
        store = await store_of(models) if body.is_stored or needs_past else None
        job = await parse_request(models, body, store)
        options = body.stream_options
        is_padded = bool(options and options.include_obfuscation)
        if body.background:
            watched = await background.start(job)
            if body.stream:
                return _watching(models, watched, after=-1, is_padded=is_padded)
            return JSONResponse(job.body.to_json())
        if body.stream:

            async def produce(write: Write) -> None:
                """Stream the response."""

                async def emit(event: WireEvent) -> None:
                    """Write an event."""
                    await write(_frame(event, is_padded=is_padded))

                await run_response(job, emit)

            return _stream(models, produce)
        return JSONResponse(await while_connected(request, lambda: run_response(job, _discard)))

    @routes.post("/input_tokens")
    async def count_input_tokens(body: CountTokens) -> dict[str, Any]:
        """Count the prompt tokens of a response, without generating."""
        needs_past = body.previous_response_id is not None or body.conversation is not None
        store = await store_of(models) if needs_past else None
        given = body.model_dump(by_alias=True, exclude_unset=True, exclude={"personality"})
        asked = CreateResponse.model_validate({**given, "store": False})
        job = await parse_request(models, asked, store)
        async with with_tools(job):
            count = await job.agent.count_tokens(
                job.given.conversation(job.given.new),
                tool_choice=job.tool_choice,
                client_tools=job.toolbox.client_tools,
            )
        return {"object": "response.input_tokens", "input_tokens": count}

    @routes.post("/compact")
    async def compact_conversation(body: Compact, request: Request) -> dict[str, Any]:
        """Compact a conversation to the user's messages and a summary of the rest."""
        body = models.with_resolved_id(body)
        store = await store_of(models) if body.previous_response_id is not None else None
        past = await read_past(store, previous_id=body.previous_response_id, conversation_id=None)
        items = await resolve_references(models, body.items)
        given = read_given(past, items, instructions=None)
        agent = await models.agent(body.model, cache_salt=body.cache_salt)
        return await while_connected(
            request, lambda: compact(agent, given, instructions=body.instructions)
        )

    @routes.get("/{id}", response_model=None)
    async def get_response(
        id: str,
        include: Included,
        stream: bool = False,
        starting_after: Annotated[int, Query(ge=0)] | None = None,
        include_obfuscation: bool = False,
    ) -> Response:
        """Retrieve a response; with stream=true, the events of a background response."""
        store = await store_of(models)
        found = await _found(store, id)
        if not stream:
            if starting_after is not None:
                raise InvalidRequestError(
                    "starting_after needs stream: true", param="starting_after"
                )
            output = found.body["output"]
            assert isinstance(output, list)
            shown = [with_included(item, include) for item in output if isinstance(item, dict)]
            return JSONResponse({**found.body, "output": shown})
        if include:
            raise InvalidRequestError(
                "include: not supported with stream=true; events are sent as stored",
                param="include",
            )
        after = -1 if starting_after is None else starting_after
        watched = background.find(id)
        if watched is not None:
            return _watching(models, watched, after=after, is_padded=include_obfuscation)
        events = await store.events(id)
        if not events:
            raise InvalidRequestError(
                f"stream: no events stored for {id!r}; they are stored for finished responses "
                "with background: true",
                param="stream",
            )

        async def produce(write: Write) -> None:
            """Write the stored events."""
            for event in events:
                if event.sequence_number > after:
                    await write(_frame(event.body, is_padded=include_obfuscation))

        return _stream(models, produce)

    @routes.delete("/{id}")
    async def delete_response(id: str) -> dict[str, Any]:
        """Delete a response; cancel it first if it runs in the background."""
        store = await store_of(models)
        await _found(store, id)
        watched = background.find(id)
        if watched is not None:
            await background.cancel(watched)
        await store.delete_response(id)
        return {"id": id, "object": "response", "deleted": True}

    @routes.post("/{id}/cancel")
    async def cancel_response(id: str) -> dict[str, Any]:
        """Cancel a background response."""
        store = await store_of(models)
        found = await _found(store, id)
        if not found.body["background"]:
            raise InvalidRequestError(
                f"response {id!r} is not a background response and cannot be cancelled"
            )
        if found.status in FINAL:
            return found.body
        watched = background.find(id)
        if watched is not None:
            await background.cancel(watched)
        else:  # another process runs it, and stops when it next renews its lease
            await store.finish_response(
                id, status="cancelled", body={**found.body, "status": "cancelled"}
            )
        return (await _found(store, id)).body

    @routes.get("/{id}/input_items")
    async def list_input_items(
        id: str,
        include: Included,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        """List the input items of a response, without those of earlier responses."""
        store = await store_of(models)
        await _found(store, id)
        items = await store.given_items(id)
        return page(items, limit=limit, order=order, after=after, include=include)

    async def _found(store: SessionStore, id: str) -> StoredResponse:
        found = await store.response(id)
        if found is None:
            raise HttpError(f"unknown response {id!r}", status=404, param="response_id")
        if not found.is_lost or background.find(id) is not None:
            return found
        error: JsonObject = {"code": "server_error", "message": _LOST_MESSAGE}
        body: JsonObject = {**found.body, "status": "failed", "error": error}
        await store.finish_response(id, status="failed", body=body)
        return StoredResponse(id=id, status="failed", body=body)

    all_routes = APIRouter(lifespan=lifespan)
    all_routes.include_router(routes, prefix="/v1/responses")
    all_routes.include_router(routes, prefix="/responses", include_in_schema=False)
    return all_routes


async def _discard(event: WireEvent) -> None:
    """Ignore the event: the response is not streamed."""


def _watching(models: ModelRouter, watched: Watched, *, after: int, is_padded: bool) -> EventStream:
    async def produce(write: Write) -> None:
        """Write events as they occur."""
        async for event in watched.follow(after=after):
            await write(_frame(event, is_padded=is_padded))

    return _stream(models, produce)


def _stream(models: ModelRouter, produce: Any) -> EventStream:
    return EventStream(
        produce,
        error_frame=_error_frame,
        keep_alive_seconds=models.config.keep_alive_seconds,
    )


def _frame(event: WireEvent, *, is_padded: bool) -> str:
    kind = event["type"]
    if is_padded and str(kind).endswith(".delta"):
        event = {**event, "obfuscation": padding()}
    return f"event: {kind}\ndata: {encode(event)}\n\n"


def _error_frame(error: HttpError) -> str:
    return _frame(
        {
            "type": "error",
            "sequence_number": 0,
            "code": error.code,
            "message": str(error),
            "param": error.param,
        },
        is_padded=False,
    )
