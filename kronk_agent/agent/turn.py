from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from kronk_agent.agent.caller import Answer
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
    is_complete: bool = False
    is_for_caller: bool = False
    is_pending: bool = False
    answer: Answer | None = None


class Turn:
    """One turn of the model: its deltas merged as they come, and the results of its calls.

    Whenever it is asked, it gives messages that are fit to be sent to a model: a call that never
    became complete is left out, and one that was never answered is answered as cancelled. Calls for
    the caller, and those that wait for approval, are without a result once the turn is over.
    """

    def __init__(self) -> None:
        self.finish: Finish | None = None
        """None until the model is done."""
        self.is_over = False
        """The model is done, and all its calls are answered that are not for the caller."""
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
            case ToolCallEnd(index):
                self._calls[index].is_complete = True
            case Finish():
                self.finish = delta
            case _:
                assert_never(delta)

    def call(self, index: int) -> ToolCall:
        call = self._calls[index]
        return ToolCall(call.id, call.name, "".join(call.arguments))

    def answer(self, index: int, answer: Answer) -> None:
        self._calls[index].answer = answer

    def leave(self, index: int) -> None:
        """The call is for the caller of the agent to carry out."""
        self._calls[index].is_for_caller = True

    def postpone(self, index: int) -> None:
        """Whether the call may be made is decided later."""
        self._calls[index].is_pending = True

    def take(self, call: ToolCall) -> int:
        """A call of an earlier turn that is answered now; gives its index."""
        index = len(self._calls)
        self._calls[index] = _Call(call.id, call.name, [call.arguments], is_complete=True)
        return index

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """The calls that wait for approval."""
        calls = self._calls.items()
        return tuple(self.call(index) for index, call in sorted(calls) if call.is_pending)

    @property
    def is_cut_off(self) -> bool:
        """The model ran out of tokens before it was done."""
        return self.finish is not None and self.finish.reason == "length"

    @property
    def has_repeat(self) -> bool:
        """A call of this turn had been made before."""
        return any(call.answer and call.answer.is_repeat for call in self._calls.values())

    @property
    def has_calls_for_caller(self) -> bool:
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
    def results(self) -> list[ToolResult]:
        """One for each call of the message that is not left to the caller, in the same order."""
        calls = [self._calls[index] for index in self._complete()]
        return [
            call.answer.result if call.answer else _cancelled(call)
            for call in calls
            if not ((call.is_for_caller or call.is_pending) and self.is_over)
        ]

    def _complete(self) -> list[int]:
        return sorted(index for index, call in self._calls.items() if call.is_complete)


def _cancelled(call: _Call) -> ToolResult:
    text = "cancelled before it was finished"
    return ToolResult(call.id, call.name, (TextPart(text),), is_error=True)
