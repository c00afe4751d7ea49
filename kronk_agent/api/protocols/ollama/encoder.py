"""Encodes an answer in Ollama's format: whole, or one line per delta."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from kronk_agent.api.protocols.common.logprobs import logprob_to_wire
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.protocols.ollama.events import End, OllamaDelta
from kronk_agent.messages import JsonObject

MEDIA_TYPE = "application/x-ndjson"

_SECOND = 1_000_000_000


def moment(seconds: float | None = None) -> str:
    """A timestamp in RFC 3339; None is now."""
    at = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return at.isoformat().replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class OllamaEncoder:
    """Encodes the answer of one request; holds what its lines have in common."""

    kind: Literal["chat", "generate"]
    model: str
    """The name used in the request."""
    notices: Sequence[str] = ()
    """Notices about ignored fields of the request."""
    started_ns: int = field(default_factory=time.monotonic_ns)
    load_ns: int = 0
    """Nanoseconds until the model was loaded."""

    def loaded(self) -> None:
        """Record that the model is loaded."""
        self.load_ns = time.monotonic_ns() - self.started_ns

    def frame(self, delta: OllamaDelta) -> str:
        """A line with the next delta."""
        return _line({**self._head(), **self._delta(delta), "done": False})

    def last_frame(self, end: End) -> str:
        """The last line."""
        return _line({**self._head(), **self._delta(OllamaDelta()), **self._end(end, ())})

    def whole(self, delta: OllamaDelta, end: End) -> JsonObject:
        """The whole response."""
        shown = OllamaDelta(delta.text, delta.thinking, delta.calls, delta.logprobs)
        return {**self._head(), **self._delta(shown), **self._end(end, delta.activity)}

    def _head(self) -> JsonObject:
        return {"model": self.model, "created_at": moment()}

    def _delta(self, delta: OllamaDelta) -> JsonObject:
        thinking: JsonObject = {"thinking": delta.thinking} if delta.thinking else {}
        calls: JsonObject = {"tool_calls": list(delta.calls)} if delta.calls else {}
        shown: JsonObject = (
            {"response": delta.text, **thinking}
            if self.kind == "generate"
            else {"message": {"role": "assistant", "content": delta.text, **thinking, **calls}}
        )
        if delta.logprobs:
            shown["logprobs"] = [logprob_to_wire(scored) for scored in delta.logprobs]
        if delta.activity:
            shown["kronk"] = {"activity": list(delta.activity)}
        return shown

    def _end(self, end: End, activity: Sequence[JsonObject]) -> JsonObject:
        ended: JsonObject = {"done": True, "done_reason": end.reason}
        if end.context is not None:
            ended["context"] = list(end.context)
        if end.usage is not None:
            timings = end.timings
            prefill_seconds = max(0.0, timings.ttft_seconds - timings.queue_seconds)
            ended |= {
                "total_duration": time.monotonic_ns() - self.started_ns,
                "load_duration": self.load_ns,
                "prompt_eval_count": end.usage.prompt_tokens,
                "prompt_eval_duration": int(prefill_seconds * _SECOND),
                "eval_count": end.usage.completion_tokens,
                "eval_duration": int(timings.generation_seconds * _SECOND),
            }
        extension: JsonObject = {"activity": list(activity)} if activity else {}
        if self.notices:
            extension["notices"] = list(self.notices)
        return {**ended, "kronk": extension} if extension else ended


def _line(value: JsonObject) -> str:
    return f"{encode(value)}\n"
