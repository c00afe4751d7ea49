"""Making a response: a request is understood, run, told in events, and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
from anyio import CancelScope

from kronk_agent.agent import Agent, Run
from kronk_agent.api.model_router import ModelRouter, as_asked
from kronk_agent.api.protocols.common.schema import left_out
from kronk_agent.api.protocols.openai_responses.approval import carry_out, with_results
from kronk_agent.api.protocols.openai_responses.context import Given, read_given, read_past
from kronk_agent.api.protocols.openai_responses.encoder import ResponsesEncoder, WireEvent
from kronk_agent.api.protocols.openai_responses.items.stored import to_stored
from kronk_agent.api.protocols.openai_responses.request import CreateResponse, options
from kronk_agent.api.protocols.openai_responses.state import ResponseState
from kronk_agent.api.protocols.openai_responses.toolbox import Toolbox, add_guests, open_toolbox
from kronk_agent.api.tools.inline_mcp_servers import connect_inline_servers
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.errors import EngineError, InvalidRequestError
from kronk_agent.messages import JsonObject, Message, RunFinished, StepFinished, ToolCall
from kronk_agent.model import ToolChoice
from kronk_agent.sessions import FINAL, SessionStore, StoredEvent, StoredResponse
from kronk_agent.sessions.store import LEASE_SECONDS
from kronk_agent.tools import Tool

Emit: TypeAlias = Callable[[WireEvent], Awaitable[None]]

_CARRIED_OUT_HERE = ("mcp", "web")


@dataclass(slots=True, kw_only=True)
class ResponseRun:
    """A request, understood."""

    models: ModelRouter
    agent: Agent
    given: Given
    toolbox: Toolbox
    body: ResponseState
    store: SessionStore | None
    """None: the response is not kept."""
    items: list[JsonObject]
    """The input, as it is kept."""
    tool_choice: ToolChoice | None = None
    is_cancelled: bool = False
    """Somebody asked for its end."""
    run: Run | None = None
    """What is under way, while something is."""
    said: list[Message] = field(default_factory=list)
    """What this response adds to the conversation."""

    @property
    def id(self) -> str:
        return self.body.id


async def parse_request(
    models: ModelRouter, wire: CreateResponse, store: SessionStore | None
) -> ResponseRun:
    """See what a request wants.

    Args:
        serving: what there is.
        wire: the request.
        store: for the past, and to keep the response where the request wants that.

    Raises:
        KronkError: it cannot work; says which field is at fault.
    """
    wire.check()
    wire = models.as_named(wire)
    past = await read_past(
        store, previous_id=wire.previous_response_id, conversation_id=wire.conversation_id
    )
    given = read_given(past, wire.items, instructions=wire.instructions)
    await models.need_for(wire.model, [*past.messages, *given.new])
    agent = await models.agent(wire.model, cache_salt=wire.cache_salt)
    agent = as_asked(agent, options=options(wire, agent.options))
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
        items=to_stored(wire.items),
    )


@asynccontextmanager
async def with_tools(job: ResponseRun) -> AsyncIterator[None]:
    """Connect to the servers that the request brings along, inside the block, and give the agent
    its tools.

    Raises:
        KronkError: something is not there, or not among the tools.
    """
    box = job.toolbox
    async with connect_inline_servers(
        {label: server.config for label, server in box.guests.items()}
    ) as host:
        if host is not None:
            await add_guests(box, host)
        for call in job.given.approvals.granted:
            _held_tool(box, call)
        choice = job.body.request.tool_choice
        job.tool_choice = None if choice is None else box.choice(choice)
        job.agent = as_asked(job.agent, toolsets=box.toolsets)
        yield


async def run_response(job: ResponseRun, emit: Emit) -> JsonObject:
    """Make the response, and keep it from its beginning to its end.

    Args:
        job: what is to be done.
        emit: gets each event.

    Returns:
        The response as it ended.

    Raises:
        KronkError: it failed before its first event, and nothing of it is kept.
    """
    async with with_tools(job):
        await _make(job, emit)
    return job.body.to_json()


async def _make(job: ResponseRun, emit: Emit) -> None:
    events: list[StoredEvent] = []
    is_background = bool(job.body.request.background)
    has_begun = is_background
    await _begin(job)

    async def keep_and_emit(event: WireEvent) -> None:
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
            await _drive(job, keep_and_emit)
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
    """Say from time to time that it is still worked on, and hear if somebody ended it."""
    while job.store is not None:
        await anyio.sleep(LEASE_SECONDS / 3)
        body = job.body
        if not await job.store.renew(job.id, status=body.status, body=body.to_json()):
            job.is_cancelled = True
            work.cancel()


async def _end(job: ResponseRun, events: Sequence[StoredEvent], *, has_begun: bool) -> None:
    body = job.body
    if body.status not in FINAL:
        # Cancelled from outside: by its client, by somebody else, or with the server.
        if job.is_cancelled or not body.request.background:
            body.status = "cancelled"
        else:
            body.fail(None, "the server was stopped before it was finished")
    if job.store is None:
        return
    with CancelScope(shield=True):
        if not has_begun:
            await job.store.delete_response(job.id)
            return
        goes_on = body.status in ("completed", "incomplete")
        await job.store.finish_response(
            job.id,
            status=body.status,
            body=body.to_json(),
            said=job.said if goes_on else (),
            shown=[*job.items, *body.output] if goes_on else (),
            events=events,
        )


async def _drive(job: ResponseRun, emit: Emit) -> None:
    """Run it. Nothing is told before there is something to tell, so that it can fail first."""
    writer = ResponsesEncoder(job.body, job.toolbox)
    waiting = writer.begin()

    async def tell(events: Sequence[WireEvent]) -> None:
        for event in [*waiting, *events] if events else ():
            await emit(event)
        if events:
            waiting.clear()

    if job.body.request.background:  # its client has its id and comes back for what became of it
        for event in waiting:
            await emit(event)
        waiting.clear()
    for listing in job.toolbox.listings:
        if listing.server_label not in job.given.past.listed:
            await tell([*writer.list_tools(listing)])
    results = await _answer_approvals(job, writer, tell)
    new = with_results([*job.given.past.messages, *job.given.new], results)
    new = new[len(job.given.past.messages) :]
    await _answer(job, writer, job.given.conversation(new), tell, can_fail=bool(waiting))
    assert writer.finished is not None
    job.said = [*new, *writer.finished.messages]


async def _answer(
    job: ResponseRun,
    writer: ResponsesEncoder,
    messages: Sequence[Message],
    tell: Callable[[Sequence[WireEvent]], Awaitable[None]],
    *,
    can_fail: bool,
) -> None:
    """Run the agent and tell its events.

    Raises:
        KronkError: it failed before anything was told, where ``can_fail``.
    """
    num_tokens = 0
    limit = job.body.request.max_output_tokens
    running = job.agent.run(
        messages, tool_choice=job.tool_choice, client_tools=job.toolbox.client_tools
    )
    has_told = False
    async with running as job.run:
        async for event in job.run:
            match event:
                case RunFinished(reason="error") if can_fail and not has_told:
                    raise event.exception or EngineError(event.error or "the run failed")
            events = [*writer.read(event)]
            has_told = has_told or bool(events)
            await tell(events)
            if limit is not None and isinstance(event, StepFinished):
                num_tokens += event.usage.completion_tokens
                if num_tokens >= limit and _goes_on(job, event):
                    writer.is_budget_spent = True
                    job.run.cancel()


def _goes_on(job: ResponseRun, step: StepFinished) -> bool:
    """Will the model be asked again after this step?"""
    kinds = [job.toolbox.shown(call.name).kind for call in step.message.tool_calls]
    return bool(kinds) and all(kind in _CARRIED_OUT_HERE for kind in kinds)


async def _answer_approvals(
    job: ResponseRun,
    writer: ResponsesEncoder,
    tell: Callable[[Sequence[WireEvent]], Awaitable[None]],
) -> dict[str, Message]:
    """Make the calls that were agreed to; the results of those, and of the refused ones."""
    results = {message.tool_call_id or "": message for message in job.given.approvals.refused}
    context = [*job.given.past.messages, *job.given.new]
    for call in job.given.approvals.granted:
        shown = job.toolbox.shown(call.name)
        await tell([*writer.approved(call, shown)])
        result = await carry_out(
            call,
            _held_tool(job.toolbox, call),
            context,
            job.agent.options,
        )
        await tell([*writer.answered(result)])
        results[call.id] = result.to_message()
    return results


def _held_tool(toolbox: Toolbox, call: ToolCall) -> Tool:
    """The tool of a call that waited.

    Raises:
        InvalidRequestError: the request does not have it any more.
    """
    if call.name in toolbox.held:
        return toolbox.held[call.name]
    for toolset in toolbox.toolsets:
        for tool in toolset.tools():
            if tool.name == call.name:
                return tool
    raise InvalidRequestError(
        f"tools: the call that was allowed is of {call.name}, whose MCP server must be among the "
        "tools of this request too",
        param="tools",
    )
