"""Runs a response: parses the request, runs the agent, emits events and stores the result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
from anyio import CancelScope

from kronk_agent.agent import Agent, Run
from kronk_agent.api.model_router import ModelRouter, as_asked
from kronk_agent.api.protocols.common.sampling import with_token_bias
from kronk_agent.api.protocols.common.schema import left_out
from kronk_agent.api.protocols.openai_responses.approval import execute_approved, with_results
from kronk_agent.api.protocols.openai_responses.context import Given, read_given, read_past
from kronk_agent.api.protocols.openai_responses.encoder import ResponsesEncoder, WireEvent
from kronk_agent.api.protocols.openai_responses.items.references import resolve_references
from kronk_agent.api.protocols.openai_responses.items.stored import to_stored
from kronk_agent.api.protocols.openai_responses.request import CreateResponse, options
from kronk_agent.api.protocols.openai_responses.state import ResponseState
from kronk_agent.api.protocols.openai_responses.toolbox import (
    Toolbox,
    add_inline_servers,
    open_toolbox,
)
from kronk_agent.api.tools.inline_mcp_servers import connect_inline_servers
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.errors import EngineError, InvalidRequestError
from kronk_agent.messages import JsonObject, Message, RunFinished, StepFinished, ToolCall
from kronk_agent.sessions import FINAL, SessionStore, StoredEvent, StoredResponse
from kronk_agent.sessions.store import LEASE_SECONDS
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool

Emit: TypeAlias = Callable[[WireEvent], Awaitable[None]]

_SERVER_KINDS = ("mcp", "web")


@dataclass(slots=True, kw_only=True)
class ResponseRun:
    """A parsed request, and the response it becomes."""

    models: ModelRouter
    agent: Agent
    given: Given
    toolbox: Toolbox
    body: ResponseState
    store: SessionStore | None
    """None: the response is not stored."""
    items: list[JsonObject]
    """The input items, as stored."""
    tool_choice: ToolChoice | None = None
    is_cancelled: bool = False
    """Cancellation was requested by a client."""
    run: Run | None = None
    """The agent's run, once it has started."""
    messages: list[Message] = field(default_factory=list)
    """Messages that this response adds to the conversation."""

    @property
    def id(self) -> str:
        """The response's id."""
        return self.body.id


async def parse_request(
    models: ModelRouter, wire: CreateResponse, store: SessionStore | None
) -> ResponseRun:
    """Parse a request.

    Args:
        models: provides the agent.
        wire: the request.
        store: holds earlier responses and conversations, and the new response if it is stored.

    Raises:
        KronkError: the request is invalid; names the field.
    """
    wire.check()
    wire = models.with_resolved_id(wire)
    past = await read_past(
        store, previous_id=wire.previous_response_id, conversation_id=wire.conversation_id
    )
    items = await resolve_references(models, wire.items)
    given = read_given(past, items, instructions=wire.instructions)
    await models.check_media(wire.model, [*past.messages, *given.new])
    agent = await models.agent(wire.model, cache_salt=wire.cache_salt)
    biased = await with_token_bias(models, wire.model, wire)
    agent = as_asked(agent, options=options(biased, agent.options))
    toolbox = await open_toolbox(models.runtime, agent, wire.tools or ())
    body = ResponseState(request=wire, sampling=agent.options.sampling)
    body.notices += [*left_out(wire), *toolbox.notices]
    return ResponseRun(
        models=models,
        agent=agent,
        given=given,
        toolbox=toolbox,
        body=body,
        store=store if wire.is_stored else None,
        items=to_stored(items),
    )


@asynccontextmanager
async def with_tools(job: ResponseRun) -> AsyncIterator[None]:
    """Connect to the request's inline MCP servers inside the block, and give the agent its tools.

    Raises:
        KronkError: a server or a tool is unavailable.
    """
    box = job.toolbox
    async with connect_inline_servers(
        {label: server.config for label, server in box.inline_servers.items()}
    ) as host:
        if host is not None:
            await add_inline_servers(box, host)
        for call in job.given.approvals.granted:
            _approved_tool(box, call)
        choice = job.body.request.tool_choice
        job.tool_choice = None if choice is None else box.choice(choice)
        job.agent = as_asked(job.agent, toolsets=box.toolsets)
        yield


async def run_response(job: ResponseRun, emit: Emit) -> JsonObject:
    """Run the response, and store its beginning and its end.

    Args:
        job: the parsed request.
        emit: receives each event.

    Returns:
        The final response.

    Raises:
        KronkError: it failed before its first event; nothing is stored.
    """
    async with with_tools(job):
        await _run_and_store(job, emit)
    return job.body.to_json()


async def _run_and_store(job: ResponseRun, emit: Emit) -> None:
    events: list[StoredEvent] = []
    is_background = bool(job.body.request.background)
    has_begun = is_background
    await _begin(job)

    async def keep_and_emit(event: WireEvent) -> None:
        """Remember the event of a background response, and emit it."""
        nonlocal has_begun
        has_begun = True
        if is_background:
            number = event["sequence_number"]
            assert isinstance(number, int)
            events.append(StoredEvent(number, event))
        await emit(event)

    try:
        async with open_task_group() as tasks:
            tasks.start_soon(_stay_alive, job, tasks.cancel_scope)
            await _run_agent(job, keep_and_emit)
            tasks.cancel_scope.cancel()
    finally:
        await _end(job, events, has_begun=has_begun)


async def _begin(job: ResponseRun) -> None:
    if job.store is None:
        return
    wire = job.body.request
    stored = StoredResponse(
        id=job.id,
        status=job.body.status,
        body=job.body.to_json(),
        session_id=wire.conversation_id,
        previous_id=wire.previous_response_id,
        created_at=job.body.created_at,
    )
    await job.store.begin_response(stored, given=job.items)


async def _stay_alive(job: ResponseRun, work: CancelScope) -> None:
    """Renew the lease regularly; stop the work if the response was cancelled in the store."""
    while job.store is not None:
        await anyio.sleep(LEASE_SECONDS / 3)
        body = job.body
        if not await job.store.renew(job.id, status=body.status, body=body.to_json()):
            job.is_cancelled = True
            work.cancel()


async def _end(job: ResponseRun, events: Sequence[StoredEvent], *, has_begun: bool) -> None:
    body = job.body
    if body.status not in FINAL:
        # The run was cancelled: by its client, through the store, or by a server shutdown.
        if job.is_cancelled or not body.request.background:
            body.status = "cancelled"
        else:
            body.fail(None, "the server was stopped before the response was finished")
    if job.store is None:
        return
    with CancelScope(shield=True):
        if not has_begun:
            await job.store.delete_response(job.id)
            return
        is_continuable = body.status in ("completed", "incomplete")
        await job.store.finish_response(
            job.id,
            status=body.status,
            body=body.to_json(),
            said=job.messages if is_continuable else (),
            shown=[*job.items, *body.output] if is_continuable else (),
            events=events,
        )


async def _run_agent(job: ResponseRun, emit: Emit) -> None:
    """Run the agent. Nothing is emitted before its first event, so early errors get a status."""
    encoder = ResponsesEncoder(job.body, job.toolbox)
    initial = encoder.begin()

    async def emit_all(events: Sequence[WireEvent]) -> None:
        """Emit events, preceded by the initial ones."""
        for event in [*initial, *events] if events else ():
            await emit(event)
        if events:
            initial.clear()

    if job.body.request.background:  # its client already has the id, and polls
        for event in initial:
            await emit(event)
        initial.clear()
    for listing in job.toolbox.listings:
        if listing.server_label not in job.given.past.listed:
            await emit_all([*encoder.list_tools(listing)])
    results = await _answer_approvals(job, encoder, emit_all)
    new = with_results([*job.given.past.messages, *job.given.new], results)
    new = new[len(job.given.past.messages) :]
    await _answer(job, encoder, job.given.conversation(new), emit_all, can_fail=bool(initial))
    assert encoder.finished is not None
    job.messages = [*new, *encoder.finished.messages]


async def _answer(
    job: ResponseRun,
    encoder: ResponsesEncoder,
    messages: Sequence[Message],
    emit_all: Callable[[Sequence[WireEvent]], Awaitable[None]],
    *,
    can_fail: bool,
) -> None:
    """Run the agent and emit its events.

    Raises:
        KronkError: it failed before the first event, if ``can_fail``.
    """
    num_tokens = 0
    limit = job.body.request.max_output_tokens
    running = job.agent.run(
        messages, tool_choice=job.tool_choice, client_tools=job.toolbox.client_tools
    )
    has_emitted = False
    async with running as job.run:
        async for event in job.run:
            match event:
                case RunFinished(reason="error") if can_fail and not has_emitted:
                    raise event.exception or EngineError(event.error or "the run failed")
            events = [*encoder.read(event)]
            has_emitted = has_emitted or bool(events)
            await emit_all(events)
            if limit is not None and isinstance(event, StepFinished):
                num_tokens += event.usage.completion_tokens
                if num_tokens >= limit and _continues(job, event):
                    encoder.is_budget_spent = True
                    job.run.cancel()


def _continues(job: ResponseRun, step: StepFinished) -> bool:
    """True if the model continues after this step: all of its calls were executed here."""
    kinds = [job.toolbox.shown(call.name).kind for call in step.message.tool_calls]
    return bool(kinds) and all(kind in _SERVER_KINDS for kind in kinds)


async def _answer_approvals(
    job: ResponseRun,
    encoder: ResponsesEncoder,
    emit_all: Callable[[Sequence[WireEvent]], Awaitable[None]],
) -> dict[str, Message]:
    """Execute the approved calls; returns the results of approved and refused calls, by call id."""
    results = {message.tool_call_id or "": message for message in job.given.approvals.refused}
    context = [*job.given.past.messages, *job.given.new]
    for call in job.given.approvals.granted:
        shown = job.toolbox.shown(call.name)
        await emit_all([*encoder.begin_approved(call, shown)])
        result = await execute_approved(
            call,
            _approved_tool(job.toolbox, call),
            context,
            job.agent.options,
        )
        await emit_all([*encoder.add_result(result)])
        results[call.id] = result.to_message()
    return results


def _approved_tool(toolbox: Toolbox, call: ToolCall) -> Tool:
    """The tool of a call that was waiting for approval.

    Raises:
        InvalidRequestError: the request no longer includes the tool.
    """
    if call.name in toolbox.held:
        return toolbox.held[call.name]
    for toolset in toolbox.toolsets:
        for tool in toolset.tools():
            if tool.name == call.name:
                return tool
    raise InvalidRequestError(
        f"tools: the approved call needs {call.name}: include its MCP server in this request's "
        "tools",
        param="tools",
    )
