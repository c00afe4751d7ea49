"""Encodes an answer as OpenAI's chat completion, whole or in chunks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kronk_agent.api.protocols.common.schema import FINGERPRINT, encode, new_id, padding
from kronk_agent.api.protocols.openai_chat.events import (
    AnswerDelta,
    ChoiceReader,
    logprobs_to_wire,
    merge,
    timings_to_wire,
    usage_to_wire,
)
from kronk_agent.api.sse import DONE
from kronk_agent.messages import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompletionEncoder:
    """Encodes the answer of one request; holds what its chunks have in common."""

    model: str
    include_usage: bool = False
    include_obfuscation: bool = False
    id: str = field(default_factory=lambda: new_id("chatcmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, index: int, delta: AnswerDelta, finish_reason: str | None = None) -> str:
        """A chunk with the next delta of a choice."""
        choice: dict[str, Any] = {
            "index": index,
            "delta": delta.delta,
            "logprobs": logprobs_to_wire(delta.logprobs) if delta.logprobs else None,
            "finish_reason": finish_reason,
        }
        more: dict[str, Any] = {}
        if delta.activity is not None:
            more["kronk"] = delta.activity
        return self._frame([choice], None, more)

    def last_frames(self, readers: Sequence[ChoiceReader]) -> str:
        """The chunks after the end of all choices."""
        if not self.include_usage:
            return DONE
        usage = usage_to_wire([reader.usage for reader in readers])
        timings = timings_to_wire(readers[0].usage, readers[0].timings)
        return self._frame([], usage, {"timings": timings}) + DONE

    def whole(
        self, readers: Sequence[ChoiceReader], deltas: Sequence[Sequence[AnswerDelta]]
    ) -> JsonObject:
        """The whole chat completion, assembled from the deltas of all choices."""
        activity = [delta.activity for one in deltas for delta in one if delta.activity]
        more: JsonObject = {"kronk": {"activity": list(activity)}} if activity else {}
        return {
            **self._head("chat.completion"),
            "choices": [
                _choice(index, reader, one)
                for index, (reader, one) in enumerate(zip(readers, deltas, strict=True))
            ],
            "usage": usage_to_wire([reader.usage for reader in readers]),
            "timings": timings_to_wire(readers[0].usage, readers[0].timings),
            **more,
        }

    def _frame(
        self, choices: list[dict[str, Any]], usage: JsonObject | None, more: dict[str, Any]
    ) -> str:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices, **more}
        if self.include_usage:
            chunk["usage"] = usage
        if self.include_obfuscation:
            chunk["obfuscation"] = padding()
        return f"data: {encode(chunk)}\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def _choice(index: int, reader: ChoiceReader, deltas: Sequence[AnswerDelta]) -> JsonObject:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        merge(message, delta.delta)
    logprobs = [scored for delta in deltas for scored in delta.logprobs]
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs_to_wire(logprobs) if logprobs else None,
        "finish_reason": reader.finish_reason,
    }
