"""The events of a run as pieces of an answer. What is not streamed is these, put together."""

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
    """More of an answer."""

    text: str = ""
    thinking: str = ""
    calls: tuple[JsonObject, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    activity: tuple[JsonObject, ...] = ()
    """What tools of ours do, and warnings."""


def joined(pieces: Sequence[OllamaDelta]) -> OllamaDelta:
    """Pieces that follow each other as one."""
    return OllamaDelta(
        "".join(piece.text for piece in pieces),
        "".join(piece.thinking for piece in pieces),
        tuple(call for piece in pieces for call in piece.calls),
        tuple(scored for piece in pieces for scored in piece.logprobs),
        tuple(told for piece in pieces for told in piece.activity),
    )


@dataclass(frozen=True, slots=True)
class End:
    """How an answer ended, and what it cost."""

    reason: str
    """``stop``, ``length``, ``load`` or ``unload``."""
    usage: Usage | None = None
    timings: Timings = field(default_factory=Timings)
    context: Sequence[int] | None = None
    """To go on from, after a completion."""


@dataclass(slots=True)
class AnswerReader:
    """Reads the events of one run.

    Args:
        client_tools: names of the tools that are the client's.
    """

    client_tools: frozenset[str]
    finished: RunFinished | None = None
    calls: list[ToolCall] = field(default_factory=list)
    """Those the client is to carry out, as it plays them back."""
    timings: Timings = field(default_factory=Timings)
    _has_text: bool = False
    _is_step_new: bool = False
    _open: dict[int, ToolCall] = field(default_factory=dict)
    """Calls of this step that are being written, by their number in it."""

    def read(self, event: Event) -> OllamaDelta | None:
        """What of an event the client gets to see.

        Raises:
            KronkError: the run ended with it.
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
        assert self.finished is not None
        reason = "length" if self.finished.reason == "length" else "stop"
        return End(reason, self.finished.usage, self.timings)

    def _apart(self, text: str) -> str:
        """Texts of two steps do not run into each other."""
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
