"""The run loop: generate a turn, execute its tool calls, repeat until the run ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from anyio import CancelScope, to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from kronk_agent.agent.approval import Approve, Pending
from kronk_agent.agent.compaction import CompactionCache, ContextWindow
from kronk_agent.agent.instructions import tool_notes, with_instructions, with_notes
from kronk_agent.agent.options import AgentOptions
from kronk_agent.agent.reminders import ANSWER_NOW, reminder
from kronk_agent.agent.tool_calls.call_order import ScheduledCall
from kronk_agent.agent.tool_calls.repeat_guard import RepeatGuard
from kronk_agent.agent.tool_calls.tool_executor import (
    Execution,
    ToolExecutor,
    collect_tools,
    failed,
)
from kronk_agent.agent.tool_calls.truncation import truncate_results
from kronk_agent.agent.turn import AnsweredCall, TurnState
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.errors import MODEL_ERRORS, InvalidRequestError, KronkError
from kronk_agent.messages import (
    Event,
    Finish,
    Message,
    Notice,
    RunEnd,
    RunFinished,
    StepFinished,
    StepStarted,
    TextPart,
    ToolCall,
    ToolCallEnd,
    ToolFinished,
    ToolResult,
    ToolStarted,
    Usage,
)
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import RunContext, Tool, Toolset
from kronk_agent.tools.written_calls import find_written_call

logger = logging.getLogger(__name__)

_NONE = ToolChoice("none")
_MAX_SCHEMA_NOTICES = 5
"""Maximum notices about the schema of one tool."""


class RunLoop:
    """One run of an agent; call ``run`` once."""

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
        compactions: CompactionCache,
    ) -> None:
        self._model = model
        self._window = ContextWindow(
            model,
            compact_at=options.compact_at if options.compaction == "auto" else None,
            cache=compactions,
            on_compaction=events.send,
        )
        self._toolsets = toolsets
        self._client_tools = client_tools
        notes = tool_notes(toolsets)
        self._options = with_notes(options, notes)
        self._input = with_instructions(messages, options, notes)
        self._first_choice = tool_choice
        self._events = events
        # Without the notes: URLs in them were not mentioned by the user.
        self._context = RunContext(with_instructions(messages, options))
        self._executor = ToolExecutor(
            timeout_seconds=options.tool_timeout_seconds,
            events=events,
            run=self._context,
            max_calls=options.max_tool_calls,
            policy=options.policy,
            policy_ceiling=options.policy_ceiling,
            approve=approve,
        )
        self._repeats = RepeatGuard(options.max_identical_calls)
        self._resumes = resume
        self._pending: tuple[ToolCall, ...] = ()
        self._added: list[Message] = []
        self._notices: set[str] = set()
        self._usage = Usage()
        self._num_steps = 0
        self._stop_sequence: str | None = None

    async def run(self, scope: CancelScope) -> None:
        """Take steps, then send ``RunFinished``.

        Its reason is ``cancelled`` if the scope was cancelled.
        """
        reason: RunEnd = "cancelled"
        error: KronkError | None = None
        with self._events:
            with scope:
                try:
                    reason = await self._take_steps()
                except MODEL_ERRORS as failure:
                    reason, error = "error", failure
            logger.debug("run ended: %s, after %d steps", reason, self._num_steps)
            # Outside the scope: a cancelled run reports its end too.
            await self._events.send(
                RunFinished(
                    reason,
                    tuple(self._added),
                    self._usage + self._window.usage,
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
            last = self._last_reason(step, tools, choice)
            now = _last_choice(choice, tools) if last else self._without_stuck(choice, tools)
            turn = await self._step(step, tools, now)
            if turn.is_cut_off:
                return "length"
            if self._pending:
                return "approval"
            if turn.has_client_calls:
                return "tool_calls"
            if not turn.message.tool_calls:
                return await self._end_of_answer(turn.message.text, tools, last)
            choice = ToolChoice(allowed=choice.allowed)
        return "max_steps"

    def _last_reason(
        self, step: int, tools: Mapping[str, Tool], choice: ToolChoice
    ) -> RunEnd | None:
        """Return how the run ends if this is the last step, in which server tools are disabled."""
        if choice.mode == "none" or all(tool.call is None for tool in tools.values()):
            return None
        if self._executor.is_exhausted:
            return "max_tool_calls"
        if self._repeats.must_answer:
            return "stop"
        return "max_steps" if step == self._options.max_steps else None

    def _without_stuck(self, choice: ToolChoice, tools: Mapping[str, Tool]) -> ToolChoice:
        """Exclude tools that failed twice the same way: allow only other, read-only tools."""
        if choice.mode != "auto" or not self._repeats.stuck:
            return choice
        allowed = tools if choice.allowed is None else choice.allowed
        others = tuple(
            name
            for name in allowed
            if name in tools.keys() - self._repeats.stuck and tools[name].is_read_only
        )
        return replace(choice, allowed=others) if others else choice

    async def _end_of_answer(
        self, text: str, tools: Mapping[str, Tool], last: RunEnd | None
    ) -> RunEnd:
        """Return how the run ends with this text; a call written as text is reported."""
        written = find_written_call(text, tools)
        if written is None:
            return last or "stop"
        await self._notify_once(
            f"the answer contains a call of {written} as text; it was not executed"
        )
        return "stop" if last is None else "malformed_tool_call"

    async def _current_tools(self) -> dict[str, Tool]:
        tools, hidden = collect_tools(
            self._toolsets, self._client_tools, policy=self._options.effective_rules
        )
        for line in hidden:
            await self._notify_once(line)
        for tool in self._client_tools:
            for problem in tool.schema_problems[:_MAX_SCHEMA_NOTICES]:
                await self._notify_once(
                    f"tool {tool.name}: dropped from its JSON Schema: {problem}"
                )
        return tools

    async def _notify_once(self, text: str) -> None:
        if text not in self._notices:
            self._notices.add(text)
            await self._events.send(Notice(text))

    async def _step(self, step: int, tools: Mapping[str, Tool], choice: ToolChoice) -> TurnState:
        """Generate one turn of the model and execute its calls."""
        logger.debug("asking the model: %d tools, tool_choice %s", len(tools), choice)
        messages = self._with_reminder(self._conversation(), choice)
        request = self._options.request(messages, list(tools.values()), choice, is_first=step == 1)
        await self._events.send(StepStarted(step))
        self._num_steps = step
        turn = TurnState(self._options.parallel_tools)
        try:
            async with open_task_group() as calls:
                await self._generate(request, turn, calls, tools)
            turn.is_over, self._pending = True, turn.pending
        finally:
            with CancelScope(shield=True):
                await self._keep(turn)
        assert turn.finish is not None, "a model's stream ends with Finish"
        for notice in turn.finish.notices:
            await self._notify_once(notice)
        await self._events.send(
            StepFinished(step, turn.message, turn.finish.usage, turn.finish.timings)
        )
        return turn

    def _conversation(self) -> list[Message]:
        """The full conversation. A continued assistant message is merged with its continuation."""
        if not self._options.continue_final_message or not self._added:
            return [*self._input, *self._added]
        prefix, rest = self._input[-1], self._added[0]
        merged = replace(
            rest,
            content=Message.assistant(prefix.text + rest.text).content,
            reasoning=prefix.reasoning + rest.reasoning,
        )
        return [*self._input[:-1], merged, *self._added[1:]]

    def _with_reminder(self, messages: list[Message], choice: ToolChoice) -> list[Message]:
        """Add a reminder after tool results if the model needs one; see ``reminders``."""
        if not messages or messages[-1].role != "tool":
            return messages
        if choice.mode == "none":
            return [*messages, ANSWER_NOW]
        is_confined = self._repeats.stuck and choice.allowed != self._first_choice.allowed
        # A confined model needs no reminder: it can only call other tools.
        if not self._repeats.is_repeat or is_confined:
            return messages
        return [*messages, reminder(messages, self._repeats)]

    async def _generate(
        self, request: ChatRequest, turn: TurnState, calls: TaskGroup, tools: Mapping[str, Tool]
    ) -> None:
        """Merge the deltas, forward them, and start each call as soon as it is complete."""
        async with aclosing(self._window.stream(request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, Finish):
                    continue
                await self._events.send(delta)
                if isinstance(delta, ToolCallEnd):
                    self._start_call(turn, delta.index, calls, tools)

    def _start_call(
        self, turn: TurnState, index: int, calls: TaskGroup, tools: Mapping[str, Tool]
    ) -> None:
        tool = tools.get(turn.call(index).name)
        if tool is not None and tool.call is None:
            turn.defer_to_client(index)
            return
        schedule = turn.schedule(index, is_read_only=tool is None or tool.is_read_only)
        calls.start_soon(self._answer, turn, index, schedule, tools)

    async def _answer(
        self, turn: TurnState, index: int, schedule: ScheduledCall, tools: Mapping[str, Tool]
    ) -> None:
        """Execute a call once the calls before it allow that."""
        call = turn.call(index)
        try:
            await schedule.wait_for_turn()
            if schedule.duplicate_of is not None:
                await self._answer_duplicate(turn, index, schedule.duplicate_of)
                return
            denied = await self._executor.authorize(call, tools)
            if isinstance(denied, Pending):
                turn.await_approval(index)
                return
            await self._events.send(ToolStarted(call))
            started = time.perf_counter()
            if denied is not None:
                execution = Execution(denied)
            else:
                execution = await self._executor.execute(call, tools)
            seconds = time.perf_counter() - started
            schedule.result = result = execution.result
        finally:
            schedule.end()
        turn.answer(index, result, usage=execution.usage)
        logger.debug("%s took %.3f s, is_error=%s", call.name, seconds, result.is_error)
        await self._events.send(ToolFinished(result, seconds))

    async def _answer_duplicate(self, turn: TurnState, index: int, first: ScheduledCall) -> None:
        """Reuse the result of the identical call of the same turn."""
        await first.wait_until_over()
        call = turn.call(index)
        if first.result is None:
            text = "not called: the identical call of this turn was not executed either"
            result = failed(call, text)
        else:
            result = replace(first.result, call_id=call.id)
        turn.answer(index, result)
        await self._events.send(ToolStarted(call))
        await self._events.send(ToolFinished(result, 0.0))

    async def _answer_open_calls(self) -> None:
        """Execute the calls at the end of the conversation that have no result."""
        tools = await self._current_tools()
        turn = TurnState(self._options.parallel_tools)
        try:
            async with open_task_group() as calls:
                for call in _open_calls(self._input):
                    tool = tools.get(call.name)
                    if tool is not None and tool.call is None:
                        raise InvalidRequestError(
                            f"tool call {call.id!r} of {call.name} has no result", param="messages"
                        )
                    self._start_call(turn, turn.adopt_call(call), calls, tools)
            turn.is_over, self._pending = True, turn.pending
        finally:
            with CancelScope(shield=True):
                await self._keep_results(turn)

    async def _keep(self, turn: TurnState) -> None:
        """Add the turn to the conversation, even if it is incomplete."""
        if turn.finish is not None:
            self._usage += turn.finish.usage
            self._stop_sequence = turn.finish.stop_sequence
        message = turn.message
        if turn.finish is None and not message.content and not message.tool_calls:
            return
        self._added.append(message)
        await self._keep_results(turn)

    async def _keep_results(self, turn: TurnState) -> None:
        if not turn.answered:
            return  # the budget takes counting the prompt
        results = [await self._annotated(answered) for answered in turn.answered]
        budget = await self._window.result_token_budget(self._options.max_tokens)
        # In a thread: counting the tokens of a large result is slow.
        results = await to_thread.run_sync(
            truncate_results, results, budget, self._model.count_tokens
        )
        self._added += [result.to_message() for result in results]

    async def _annotated(self, answered: AnsweredCall) -> ToolResult:
        """Return the result as the model reads it.

        A failure gets the tool's usage, and a repeated result gets a note.
        """
        result = answered.result
        if answered.is_duplicate:
            return result
        if answered.usage:
            self._repeats.observe(answered.key, result)
            return replace(result, content=(*result.content, TextPart(answered.usage)))
        result = self._repeats.observe(answered.key, result)
        if self._repeats.count == self._options.max_identical_calls:
            await self._notify_once(
                f"{result.name} was called {self._repeats.count} times in a row with the same "
                "arguments and the same result; the model was reminded to do something else"
            )
        return result


def _last_choice(choice: ToolChoice, tools: Mapping[str, Tool]) -> ToolChoice:
    """Restrict the choice to client tools, when server tools are disabled.

    Raises:
        InvalidRequestError: a call is required, but no tool is left.
    """
    allowed = tools if choice.allowed is None else choice.allowed
    client_names = tuple(name for name in allowed if name in tools and tools[name].call is None)
    match choice.mode:
        case "named" if choice.name in client_names:
            return choice
        case "auto" | "required" if client_names:
            return replace(choice, allowed=client_names)
        case "auto":
            return _NONE
        case _:
            raise InvalidRequestError(
                f"tool_choice {choice.name or choice.mode!r} requires max_steps >= 2 and "
                "max_tool_calls >= 1: the model must answer after the last call",
                param="tool_choice",
            )


def _open_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """Return the calls of the last assistant message that have no result."""
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
