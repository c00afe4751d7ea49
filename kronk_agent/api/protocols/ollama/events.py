"""Converts the events of a run to deltas of an answer, and joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.tools.client_tools import parsed_arguments
from kronk_agent.errors import EngineError
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    JsonObject,
    Notice,
    ReasoningDelta,
    RunFinished,
    StepFinished,
    StepStarted,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    Usage,
    event_to_json,
)

_STEPS_APART = "\n\n"


@dataclass(frozen=True, slots=True)
class OllamaDelta:
    """The next part of an answer."""

    text: str = ""
    thinking: str = ""
    calls: tuple[JsonObject, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    activity: tuple[JsonObject, ...] = ()
    """Events of server tools, and warnings."""


def join_deltas(deltas: Sequence[OllamaDelta]) -> OllamaDelta:
    """Join consecutive deltas."""
    return OllamaDelta(
        "".join(delta.text for delta in deltas),
        "".join(delta.thinking for delta in deltas),
        tuple(call for delta in deltas for call in delta.calls),
        tuple(scored for delta in deltas for scored in delta.logprobs),
        tuple(event for delta in deltas for event in delta.activity),
    )


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer, with its usage."""

    reason: str
    """``stop``, ``length``, ``load`` or ``unload``."""
    usage: Usage | None = None
    timings: Timings = field(default_factory=Timings)
    context: Sequence[int] | None = None
    """The context to continue from, after a completion."""


@dataclass(slots=True)
class AnswerReader:
    """Converts the events of one run to deltas.

    Args:
        client_tools: names of the client's tools.
    """

    client_tools: frozenset[str]
    finished: RunFinished | None = None
    calls: list[ToolCall] = field(default_factory=list)
    """The calls that the client must execute, as it will send them back."""
    timings: Timings = field(default_factory=Timings)
    _has_text: bool = False
    _is_step_new: bool = False
    _open: dict[int, ToolCall] = field(default_factory=dict)
    """Incomplete calls of this step, by index."""

    def read(self, event: Event) -> OllamaDelta | None:
        """Convert an event; None if the client sees nothing of it.

        Raises:
            KronkError: the run failed.
        """
        match event:
            case TextDelta(text, logprobs):
                return OllamaDelta(self._apart(text), logprobs=logprobs)
            case ReasoningDelta(text):
                return OllamaDelta(thinking=text)
            case ToolCallStart(index, id, name):
                if name in self.client_tools:
                    self._open[index] = ToolCall(id, name, "")
                return None
            case ToolCallArguments(index, fragment):
                if (call := self._open.get(index)) is not None:
                    self._open[index] = ToolCall(call.id, call.name, call.arguments + fragment)
                return None
            case ToolCallEnd(index):
                call = self._open.pop(index, None)
                return None if call is None else self._call(call)
            case ToolStarted() | ToolProgress() | ToolFinished() | Notice() | ContextCompacted():
                return OllamaDelta(activity=(event_to_json(event),))
            case StepStarted():
                self._is_step_new = self._has_text
                self._open = {}
                return None
            case StepFinished(timings=timings):
                self.timings += timings
                return None
            case RunFinished():
                self.finished = event
                if event.reason == "error":
                    raise event.exception or EngineError(event.error or "the run failed")
                return None

    @property
    def end(self) -> End:
        """The end of the finished run."""
        assert self.finished is not None
        reason = "length" if self.finished.reason == "length" else "stop"
        return End(reason, self.finished.usage, self.timings)

    def _apart(self, text: str) -> str:
        """Separate the texts of two steps."""
        if self._is_step_new:
            self._is_step_new = False
            text = _STEPS_APART + text
        self._has_text = True
        return text

    def _call(self, call: ToolCall) -> OllamaDelta:
        arguments = parsed_arguments(call.arguments)
        function: JsonObject = {
            "index": len(self.calls),
            "name": call.name,
            "arguments": arguments,
        }
        self.calls.append(ToolCall(call.id, call.name, encode(arguments)))
        return OllamaDelta(calls=({"id": call.id, "function": function},))
