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
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    schedule: ScheduledCall | None = None
    """None until the call is complete."""
    is_for_caller: bool = False
    is_pending: bool = False
    result: ToolResult | None = None
    usage: str = ""
    """How to call the tool, for the model to read after a failure."""


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call of a turn and its result."""

    key: str
    """See ``call_key``."""
    result: ToolResult
    usage: str
    """How to call the tool, if the call failed and that may help; else empty."""
    is_duplicate: bool
    """The result is that of an identical call of the same turn."""


class TurnState:
    """One turn of the model: its deltas merged as they come, and the results of its calls.

    At any moment its messages can be sent to a model: an incomplete call is left out, and a call
    without a result is answered as cancelled. Once the turn is over, client tool calls and those
    that wait for approval have no result.

    Args:
        parallel_tools: which calls run side by side.
    """

    def __init__(self, parallel_tools: ParallelTools = "auto") -> None:
        self.finish: Finish | None = None
        """None until the model is done."""
        self.is_over = False
        """The model is done, and every call that is executed here has a result."""
        self._order = CallOrder(parallel_tools)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}

    def add(self, delta: Delta) -> None:
        match delta:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallStart(index, id, name):
                self._calls[index] = _Call(id, name)
            case ToolCallArguments(index, fragment):
                self._calls[index].arguments.append(fragment)
            case ToolCallEnd():
                pass  # whoever executes the call schedules it
            case Finish():
                self.finish = delta
            case _:
                assert_never(delta)

    def call(self, index: int) -> ToolCall:
        call = self._calls[index]
        return ToolCall(call.id, call.name, "".join(call.arguments))

    def schedule(self, index: int, *, is_read_only: bool) -> ScheduledCall:
        """Mark a call as complete, and give it its place in the order of execution."""
        schedule = self._order.add(call_key(self.call(index)), is_read_only=is_read_only)
        self._calls[index].schedule = schedule
        return schedule

    def answer(self, index: int, result: ToolResult, *, usage: str = "") -> None:
        self._calls[index].result = result
        self._calls[index].usage = usage

    def defer_to_client(self, index: int) -> None:
        """Mark a call as complete, and as the client's to execute."""
        self.schedule(index, is_read_only=True).end()
        self._calls[index].is_for_caller = True

    def await_approval(self, index: int) -> None:
        """Mark a call as waiting for approval."""
        self._calls[index].is_pending = True

    def adopt_call(self, call: ToolCall) -> int:
        """Add a call of an earlier turn that is answered now; gives its index."""
        index = len(self._calls)
        self._calls[index] = _Call(call.id, call.name, [call.arguments])
        return index

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls that wait for approval."""
        calls = self._calls.items()
        return tuple(self.call(index) for index, call in sorted(calls) if call.is_pending)

    @property
    def is_cut_off(self) -> bool:
        """True if the model ran out of tokens before it was done."""
        return self.finish is not None and self.finish.reason == "length"

    @property
    def has_client_calls(self) -> bool:
        return any(call.is_for_caller for call in self._calls.values())

    @property
    def message(self) -> Message:
        text = "".join(self._text)
        return Message(
            role="assistant",
            content=(TextPart(text),) if text else (),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(self.call(index) for index in self._complete()),
        )

    @property
    def answered(self) -> list[AnsweredCall]:
        """The calls of the message that are executed here, in the order of the calls."""
        answered = []
        for index in self._complete():
            call = self._calls[index]
            assert call.schedule is not None
            if (call.is_for_caller or call.is_pending) and self.is_over:
                continue
            result = call.result or failed(self.call(index), "cancelled before it was finished")
            is_duplicate = call.schedule.duplicate_of is not None
            answered.append(AnsweredCall(call.schedule.key, result, call.usage, is_duplicate))
        return answered

    def _complete(self) -> list[int]:
        return sorted(index for index, call in self._calls.items() if call.schedule is not None)
