"""The loop: generate, run the tools, and again, until there is a reason to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from anyio import CancelScope, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from kronk_agent.agent.caller import Caller
from kronk_agent.agent.options import AgentOptions
from kronk_agent.agent.policy import Approve, Pending
from kronk_agent.agent.room import fit_results, room_for_results
from kronk_agent.agent.tasks import open_task_group
from kronk_agent.agent.toolbox import gather
from kronk_agent.agent.turn import Turn
from kronk_agent.errors import (
    EngineError,
    InvalidRequestError,
    KronkError,
    ModelError,
    OverloadedError,
)
from kronk_agent.messages import (
    Event,
    Finish,
    Message,
    Notice,
    RunEnd,
    RunFinished,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolCallEnd,
    ToolFinished,
    ToolStarted,
    Usage,
)
from kronk_agent.model import ChatModel, ChatRequest, ToolChoice
from kronk_agent.tool import RunContext, Tool, Toolset

logger = logging.getLogger(__name__)

_NONE = ToolChoice("none")
_FAILURES = (EngineError, OverloadedError, InvalidRequestError, ModelError)
"""What a model may fail with."""


class Conductor:
    """One run of an agent; ``run`` is to be called once."""

    def __init__(
        self,
        model: ChatModel,
        toolsets: Sequence[Toolset],
        options: AgentOptions,
        messages: Sequence[Message],
        *,
        client_tools: Sequence[Tool],
        tool_choice: ToolChoice,
        approve: Approve | None,
        resume: bool,
        events: MemoryObjectSendStream[Event],
    ) -> None:
        self._model = model
        self._toolsets = toolsets
        self._client_tools = client_tools
        self._options = options
        self._given = with_instructions(messages, options.instructions)
        self._first_choice = tool_choice
        self._events = events
        self._context = RunContext(self._given)
        self._caller = Caller(
            timeout_seconds=options.tool_timeout_seconds,
            events=events,
            run=self._context,
            max_calls=options.max_tool_calls,
            policy=options.policy,
            limits=options.limits,
            approve=approve,
        )
        self._resumes = resume
        self._pending: tuple[ToolCall, ...] = ()
        self._added: list[Message] = []
        self._notices: set[str] = set()
        self._usage = Usage()
        self._num_steps = 0
        self._stop_sequence: str | None = None
        self._num_tokens = 0
        """Of the conversation, as of the last finished turn."""

    async def run(self, scope: CancelScope) -> None:
        """Take steps, then say how it ended; if the scope is cancelled, that is how."""
        reason: RunEnd = "cancelled"
        error: KronkError | None = None
        with self._events:
            with scope:
                try:
                    reason = await self._take_steps()
                except _FAILURES as failure:
                    reason, error = "error", failure
            logger.debug("run ended: %s, after %d steps", reason, self._num_steps)
            # Outside the scope, for a cancelled run also says what became of it.
            await self._events.send(
                RunFinished(
                    reason,
                    tuple(self._added),
                    self._usage,
                    self._num_steps,
                    str(error) if error else None,
                    self._context.sources,
                    error,
                    self._stop_sequence,
                    self._pending,
                )
            )

    async def _take_steps(self) -> RunEnd:
        choice = self._first_choice
        if self._resumes:
            await self._answer_open_calls()
        if self._pending:
            return "approval"
        for step in range(1, self._options.max_steps + 1):
            tools = await self._current_tools()
            limit = self._limit(step, tools, choice)
            turn = await self._step(step, tools, _last_choice(choice, tools) if limit else choice)
            if turn.is_cut_off:
                return "length"
            if self._pending:
                return "approval"
            if turn.has_calls_for_caller:
                return "tool_calls"
            if not turn.message.tool_calls:
                return limit or "stop"
            choice = _NONE if turn.has_repeat else ToolChoice(allowed=choice.allowed)
        return "max_steps"

    def _limit(self, step: int, tools: Mapping[str, Tool], choice: ToolChoice) -> RunEnd | None:
        """What keeps our tools from being called in this step, if something does."""
        if choice.mode == "none" or all(tool.call is None for tool in tools.values()):
            return None
        if self._caller.is_spent:
            return "max_tool_calls"
        return "max_steps" if step == self._options.max_steps else None

    async def _current_tools(self) -> dict[str, Tool]:
        tools, hidden = gather(self._toolsets, self._client_tools, policy=self._options.all_rules)
        for line in hidden:
            if line not in self._notices:
                self._notices.add(line)
                await self._events.send(Notice(line))
        return tools

    async def _step(self, step: int, tools: Mapping[str, Tool], choice: ToolChoice) -> Turn:
        """One turn of the model, and the answers to its calls."""
        logger.debug("asking the model: %d tools, tool_choice %s", len(tools), choice)
        request = self._options.request(
            self._conversation(), list(tools.values()), choice, is_first=step == 1
        )
        await self._events.send(StepStarted(step))
        self._num_steps = step
        turn = Turn()
        try:
            async with open_task_group() as calls:
                await self._generate(request, turn, calls, tools)
            turn.is_over, self._pending = True, turn.pending
        finally:
            with CancelScope(shield=True):
                await self._keep(turn)
        assert turn.finish is not None, "a model's stream ends with Finish"
        await self._events.send(
            StepFinished(step, turn.message, turn.finish.usage, turn.finish.timings)
        )
        return turn

    def _conversation(self) -> list[Message]:
        """What there was and what the run added; a message that was gone on with is one."""
        if not self._options.continue_final_message or not self._added:
            return [*self._given, *self._added]
        begun, rest = self._given[-1], self._added[0]
        whole = replace(
            rest,
            content=Message.assistant(begun.text + rest.text).content,
            reasoning=begun.reasoning + rest.reasoning,
        )
        return [*self._given[:-1], whole, *self._added[1:]]

    async def _generate(
        self, request: ChatRequest, turn: Turn, calls: TaskGroup, tools: Mapping[str, Tool]
    ) -> None:
        """Merge the deltas, pass them on, and start each call as soon as it is complete."""
        async with aclosing(self._model.stream(request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, Finish):
                    continue
                await self._events.send(delta)
                if isinstance(delta, ToolCallEnd):
                    tool = tools.get(turn.call(delta.index).name)
                    if tool is not None and tool.call is None:
                        turn.leave(delta.index)
                    else:
                        calls.start_soon(self._answer, turn, delta.index, tools)

    async def _answer(self, turn: Turn, index: int, tools: Mapping[str, Tool]) -> None:
        call = turn.call(index)
        refused = await self._caller.permit(call, tools)
        if isinstance(refused, Pending):
            turn.postpone(index)
            return
        await self._events.send(ToolStarted(call))
        started = time.perf_counter()
        answer = refused or await self._caller.answer(call, tools)
        turn.answer(index, answer)
        seconds = time.perf_counter() - started
        logger.debug("%s took %.3f s, is_error=%s", call.name, seconds, answer.result.is_error)
        await self._events.send(ToolFinished(answer.result, seconds))

    async def _answer_open_calls(self) -> None:
        """Answer the calls that the conversation ends with and that have no result."""
        tools = await self._current_tools()
        turn = Turn()
        try:
            async with open_task_group() as calls:
                for call in _open_calls(self._given):
                    tool = tools.get(call.name)
                    if tool is not None and tool.call is None:
                        raise InvalidRequestError(
                            f"the call {call.id!r} of {call.name} has no result", param="messages"
                        )
                    calls.start_soon(self._answer, turn, turn.take(call), tools)
            turn.is_over, self._pending = True, turn.pending
        finally:
            with CancelScope(shield=True):
                await self._keep_results(turn)

    async def _keep(self, turn: Turn) -> None:
        """Add the turn to the conversation: whole, or as far as it came."""
        if turn.finish is not None:
            self._usage += turn.finish.usage
            self._stop_sequence = turn.finish.stop_sequence
            self._num_tokens = turn.finish.usage.prompt_tokens + turn.finish.usage.completion_tokens
        message = turn.message
        if turn.finish is None and not message.content and not message.tool_calls:
            return
        self._added.append(message)
        await self._keep_results(turn)

    async def _keep_results(self, turn: Turn) -> None:
        room = room_for_results(
            context_length=self._model.info.context_length,
            used=self._num_tokens,
            max_tokens=self._options.max_tokens,
        )
        # In a thread: counting the tokens of a large result takes a while.
        results = await to_thread.run_sync(
            fit_results, turn.results, room, self._model.count_tokens
        )
        self._added += [result.to_message() for result in results]


def _last_choice(choice: ToolChoice, tools: Mapping[str, Tool]) -> ToolChoice:
    """What of the choice is left when the model may call none of our tools any more.

    Raises:
        InvalidRequestError: a call must come, and none may.
    """
    allowed = tools if choice.allowed is None else choice.allowed
    theirs = tuple(name for name in allowed if name in tools and tools[name].call is None)
    match choice.mode:
        case "named" if choice.name in theirs:
            return choice
        case "auto" | "required" if theirs:
            return replace(choice, allowed=theirs)
        case "auto":
            return _NONE
        case _:
            raise InvalidRequestError(
                f"tool_choice {choice.name or choice.mode!r} needs max_steps to be 2 or more and "
                "max_tool_calls 1 or more: after the last call the model must answer",
                param="tool_choice",
            )


def _open_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls of the last assistant message that have no result after it."""
    answered: set[str | None] = set()
    for message in reversed(messages):
        match message.role:
            case "tool":
                answered.add(message.tool_call_id)
            case "assistant":
                return [call for call in message.tool_calls if call.id not in answered]
            case _:
                break
    return []


def with_instructions(messages: Sequence[Message], instructions: str) -> list[Message]:
    """The conversation, begun with the instructions unless it has its own."""
    if not instructions or any(message.role == "system" for message in messages):
        return list(messages)
    return [Message.system(instructions), *messages]
