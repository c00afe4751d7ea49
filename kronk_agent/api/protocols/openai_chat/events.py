"""Converts the events of a run to OpenAI's deltas, and assembles deltas to a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kronk_agent.api.protocols.common.citations import citations
from kronk_agent.api.protocols.common.logprobs import logprob_to_wire
from kronk_agent.api.tools.client_tools import text_in
from kronk_agent.errors import EngineError
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    JsonObject,
    Notice,
    ReasoningDelta,
    RunFinished,
    Source,
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

Delta: TypeAlias = dict[str, Any]

_STEPS_APART = "\n\n"
_FINISH_REASONS = {"tool_calls": "tool_calls", "length": "length"}


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """The next part of a choice."""

    delta: Delta
    logprobs: Sequence[TokenLogprob] = ()
    activity: JsonObject | None = None
    """Event of a server tool, for the field ``kronk``."""


@dataclass(slots=True)
class ChoiceReader:
    """Converts the events of one run to deltas.

    Args:
        client_tools: names of the client's tools.
        custom_tools: names of those among them that take one text.
    """

    client_tools: frozenset[str]
    custom_tools: frozenset[str]
    finished: RunFinished | None = None
    calls: list[ToolCall] = field(default_factory=list)
    """The calls that the client must execute."""
    timings: Timings = field(default_factory=Timings)
    num_steps: int = 0
    _texts: list[str] = field(default_factory=list)
    _is_step_new: bool = False
    _call_numbers: dict[int, int] = field(default_factory=dict)
    """Number of a client tool call, by its index in this step."""

    def read(self, event: Event) -> AnswerDelta | None:
        """Convert an event; None if the client sees nothing of it.

        Raises:
            KronkError: the run failed.
        """
        match event:
            case TextDelta(text, logprobs):
                return AnswerDelta({"content": self._apart(text)}, logprobs)
            case ReasoningDelta(text):
                return AnswerDelta({"reasoning_content": text})
            case ToolCallStart() | ToolCallArguments() | ToolCallEnd():
                return self._call(event)
            case ToolStarted() | ToolProgress() | ToolFinished() | Notice() | ContextCompacted():
                return AnswerDelta({}, activity=event_to_json(event))
            case StepStarted():
                self._is_step_new = bool(self._texts)
                self._call_numbers = {}
                return None
            case StepFinished(timings=timings):
                self.num_steps += 1
                self.timings += timings
                return None
            case RunFinished():
                return self._finish(event)

    @property
    def finish_reason(self) -> str:
        """OpenAI's finish reason of the finished run."""
        assert self.finished is not None
        return _FINISH_REASONS.get(self.finished.reason, "stop")

    @property
    def usage(self) -> Usage:
        """Token usage of the finished run."""
        assert self.finished is not None
        return self.finished.usage

    def _apart(self, text: str) -> str:
        """Separate the texts of two steps."""
        if self._is_step_new:
            self._is_step_new = False
            text = _STEPS_APART + text
        self._texts.append(text)
        return text

    def _call(self, event: ToolCallStart | ToolCallArguments | ToolCallEnd) -> AnswerDelta | None:
        match event:
            case ToolCallStart(index, id, name):
                if name not in self.client_tools:
                    return None
                number = self._call_numbers[index] = len(self.calls)
                self.calls.append(ToolCall(id, name, ""))
                if name in self.custom_tools:
                    return None
                function = {"name": name, "arguments": ""}
                return _call_delta(number, id=id, type="function", function=function)
            case ToolCallArguments(index, fragment):
                number = self._call_numbers.get(index, -1)
                if number < 0:
                    return None
                call = self.calls[number]
                self.calls[number] = ToolCall(call.id, call.name, call.arguments + fragment)
                if call.name in self.custom_tools:
                    return None
                return _call_delta(number, function={"arguments": fragment})
            case ToolCallEnd(index):
                number = self._call_numbers.get(index, -1)
                if number < 0 or self.calls[number].name not in self.custom_tools:
                    return None
                call = self.calls[number]
                # The text is extracted from its JSON once that is complete.
                custom = {"name": call.name, "input": text_in(call.arguments)}
                return _call_delta(number, id=call.id, type="custom", custom=custom)

    def _finish(self, finished: RunFinished) -> AnswerDelta | None:
        self.finished = finished
        if finished.reason == "error":
            raise finished.exception or EngineError(finished.error or "the run failed")
        annotations = _annotations("".join(self._texts), finished.sources)
        return AnswerDelta({"annotations": annotations}) if annotations else None


def usage_to_wire(usages: Sequence[Usage]) -> JsonObject:
    """The usage of all choices; their common prompt counts once."""
    total = sum(usages[1:], usages[0])
    prompt = usages[0].prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": total.completion_tokens,
        "total_tokens": prompt + total.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usages[0].cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": total.reasoning_tokens},
    }


def timings_to_wire(usage: Usage, timings: Timings) -> JsonObject:
    """llama.cpp's ``timings``: tokens and milliseconds of prompt processing and generation."""
    num_read = usage.prompt_tokens - usage.cached_tokens
    read_seconds = max(0.0, timings.ttft_seconds - timings.queue_seconds)
    return {
        "cache_n": usage.cached_tokens,
        "prompt_n": num_read,
        "prompt_ms": read_seconds * 1000,
        "prompt_per_second": _rate(num_read, read_seconds),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": timings.generation_seconds * 1000,
        "predicted_per_second": _rate(usage.completion_tokens, timings.generation_seconds),
        "queue_ms": timings.queue_seconds * 1000,
    }


def logprobs_to_wire(logprobs: Sequence[TokenLogprob]) -> JsonObject:
    """The logprobs of a choice in OpenAI's format."""
    return {
        "content": [logprob_to_wire(scored) for scored in logprobs],
        "refusal": None,
    }


def merge(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Merge a delta into the message being assembled."""
    for key, value in delta.items():
        match key:
            case "content" | "reasoning_content":
                message[key] = (message.get(key) or "") + value
            case "tool_calls":
                _merge_call(message.setdefault(key, []), value[0])
            case _:
                message[key] = value


def _merge_call(calls: list[dict[str, Any]], delta: Mapping[str, Any]) -> None:
    if "id" in delta:
        calls.append({key: value for key, value in delta.items() if key != "index"})
    else:
        calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]


def _call_delta(number: int, **fields: object) -> AnswerDelta:
    return AnswerDelta({"tool_calls": [{"index": number, **fields}]})


def _annotations(text: str, sources: Sequence[Source]) -> list[JsonObject]:
    """OpenAI's annotations for the citations in the text."""
    cited = [{k: v for k, v in one.items() if k != "type"} for one in citations(text, sources)]
    return [{"type": "url_citation", "url_citation": one} for one in cited]


def _rate(number: int, seconds: float) -> float:
    return number / seconds if seconds > 0 else 0.0
