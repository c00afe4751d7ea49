"""The state of one model turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from kronk_agent.agent.tool_calls.call_order import CallOrder, ParallelTools, ScheduledCall
from kronk_agent.agent.tool_calls.tool_executor import call_key, failed
from kronk_agent.messages import (
    Delta,
    Finish,
    Message,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
)


@dataclass(slots=True)
class _CallState:
    """A call of the turn, possibly incomplete."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    schedule: ScheduledCall | None = None
    """None until the call is complete."""
    is_for_client: bool = False
    is_pending: bool = False
    result: ToolResult | None = None
    usage: str = ""
    """Usage of the tool, for the model to read after a failure."""


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call of a turn and its result."""

    key: str
    """See ``call_key``."""
    result: ToolResult
    usage: str
    """Usage of the tool, if the call failed and that may help; else empty."""
    is_duplicate: bool
    """True if the result is that of an identical call of the same turn."""


class TurnState:
    """One turn of the model: its merged deltas and the results of its calls.

    Its messages are valid at any time: an incomplete call is left out, and a call without a result
    is answered as cancelled. Once the turn is over, client tool calls and calls that wait for
    approval have no result.

    Args:
        parallel_tools: which calls run concurrently.
    """

    def __init__(self, parallel_tools: ParallelTools = "auto") -> None:
        self.finish: Finish | None = None
        """None until the model has finished."""
        self.is_over = False
        """True if the model has finished and every call executed here has a result."""
        self._order = CallOrder(parallel_tools)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _CallState] = {}

    def add(self, delta: Delta) -> None:
        """Merge a delta."""
        match delta:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallStart(index, id, name):
                self._calls[index] = _CallState(id, name)
            case ToolCallArguments(index, fragment):
                self._calls[index].arguments.append(fragment)
            case ToolCallEnd():
                pass  # the loop schedules the call
            case Finish():
                self.finish = delta
            case _:
                assert_never(delta)

    def call(self, index: int) -> ToolCall:
        """Return the call at ``index``, as far as it was received."""
        call = self._calls[index]
        return ToolCall(call.id, call.name, "".join(call.arguments))

    def schedule(self, index: int, *, is_read_only: bool) -> ScheduledCall:
        """Mark a call as complete and schedule its execution."""
        schedule = self._order.add(call_key(self.call(index)), is_read_only=is_read_only)
        self._calls[index].schedule = schedule
        return schedule

    def answer(self, index: int, result: ToolResult, *, usage: str = "") -> None:
        """Set the result of a call."""
        self._calls[index].result = result
        self._calls[index].usage = usage

    def defer_to_client(self, index: int) -> None:
        """Mark a call as complete and left for the client to execute."""
        self.schedule(index, is_read_only=True).end()
        self._calls[index].is_for_client = True

    def await_approval(self, index: int) -> None:
        """Mark a call as waiting for approval."""
        self._calls[index].is_pending = True

    def adopt_call(self, call: ToolCall) -> int:
        """Add a call of an earlier turn that is executed now; returns its index."""
        index = len(self._calls)
        self._calls[index] = _CallState(call.id, call.name, [call.arguments])
        return index

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls that wait for approval."""
        calls = self._calls.items()
        return tuple(self.call(index) for index, call in sorted(calls) if call.is_pending)

    @property
    def is_cut_off(self) -> bool:
        """True if the model ran out of tokens before it finished."""
        return self.finish is not None and self.finish.reason == "length"

    @property
    def has_client_calls(self) -> bool:
        """True if the client has to execute calls of this turn."""
        return any(call.is_for_client for call in self._calls.values())

    @property
    def message(self) -> Message:
        """The assistant message: text, reasoning and complete calls."""
        text = "".join(self._text)
        return Message(
            role="assistant",
            content=(TextPart(text),) if text else (),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(self.call(index) for index in self._complete()),
        )

    @property
    def answered(self) -> list[AnsweredCall]:
        """The calls executed here with their results, in the order of the calls."""
        answered = []
        for index in self._complete():
            call = self._calls[index]
            assert call.schedule is not None
            if (call.is_for_client or call.is_pending) and self.is_over:
                continue
            result = call.result or failed(self.call(index), "cancelled before it was finished")
            is_duplicate = call.schedule.duplicate_of is not None
            answered.append(AnsweredCall(call.schedule.key, result, call.usage, is_duplicate))
        return answered

    def _complete(self) -> list[int]:
        return sorted(index for index, call in self._calls.items() if call.schedule is not None)
