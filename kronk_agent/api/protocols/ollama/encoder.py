"""The answer as Ollama's objects: whole, or a line for each piece."""

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
    """A moment as RFC 3339 writes it; None is now."""
    at = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return at.isoformat().replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class OllamaEncoder:
    """What all lines of an answer have in common."""

    kind: Literal["chat", "generate"]
    model: str
    """As the request names it."""
    notices: Sequence[str] = ()
    """Notices about fields of the request that were left out."""
    started_ns: int = field(default_factory=time.monotonic_ns)
    load_ns: int = 0
    """Nanoseconds until the model was loaded."""

    def loaded(self) -> None:
        """Note that the model is loaded."""
        self.load_ns = time.monotonic_ns() - self.started_ns

    def frame(self, piece: OllamaDelta) -> str:
        """A line with more of the answer."""
        return _line({**self._head(), **self._said(piece), "done": False})

    def last_frame(self, end: End) -> str:
        """The line that comes last."""
        return _line({**self._head(), **self._said(OllamaDelta()), **self._ended(end, ())})

    def whole(self, piece: OllamaDelta, end: End) -> JsonObject:
        """The same, not streamed."""
        shown = OllamaDelta(piece.text, piece.thinking, piece.calls, piece.logprobs)
        return {**self._head(), **self._said(shown), **self._ended(end, piece.activity)}

    def _head(self) -> JsonObject:
        return {"model": self.model, "created_at": moment()}

    def _said(self, piece: OllamaDelta) -> JsonObject:
        thinking: JsonObject = {"thinking": piece.thinking} if piece.thinking else {}
        calls: JsonObject = {"tool_calls": list(piece.calls)} if piece.calls else {}
        shown: JsonObject = (
            {"response": piece.text, **thinking}
            if self.kind == "generate"
            else {"message": {"role": "assistant", "content": piece.text, **thinking, **calls}}
        )
        if piece.logprobs:
            shown["logprobs"] = [logprob_to_wire(scored) for scored in piece.logprobs]
        if piece.activity:
            shown["kronk"] = {"activity": list(piece.activity)}
        return shown

    def _ended(self, end: End, activity: Sequence[JsonObject]) -> JsonObject:
        ended: JsonObject = {"done": True, "done_reason": end.reason}
        if end.context is not None:
            ended["context"] = list(end.context)
        if end.usage is not None:
            timings = end.timings
            reading = max(0.0, timings.ttft_seconds - timings.queue_seconds)
            ended |= {
                "total_duration": time.monotonic_ns() - self.started_ns,
                "load_duration": self.load_ns,
                "prompt_eval_count": end.usage.prompt_tokens,
                "prompt_eval_duration": int(reading * _SECOND),
                "eval_count": end.usage.completion_tokens,
                "eval_duration": int(timings.generation_seconds * _SECOND),
            }
        told: JsonObject = {"activity": list(activity)} if activity else {}
        if self.notices:
            told["notices"] = list(self.notices)
        return {**ended, "kronk": told} if told else ended


def _line(value: JsonObject) -> str:
    return f"{encode(value)}\n"
