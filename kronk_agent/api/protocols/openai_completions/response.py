from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kronk_agent.api.protocols.common.logprobs import finite
from kronk_agent.api.protocols.common.schema import FINGERPRINT, encode, new_id
from kronk_agent.api.sse import DONE
from kronk_agent.engine.engine import Engine, TokenIdLogprob
from kronk_agent.messages import JsonObject, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What all chunks of an answer have in common."""

    model: str
    include_usage: bool = False
    id: str = field(default_factory=lambda: new_id("cmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, choice: JsonObject) -> str:
        return self._frame([choice], None)

    def last_frames(self, usage: JsonObject) -> str:
        return (self._frame([], usage) if self.include_usage else "") + DONE

    def whole(self, choices: Sequence[JsonObject], usage: JsonObject) -> JsonObject:
        return {**self._head(), "choices": list(choices), "usage": usage}

    def _frame(self, choices: list[JsonObject], usage: JsonObject | None) -> str:
        chunk: dict[str, Any] = {**self._head(), "choices": choices}
        if self.include_usage:
            chunk["usage"] = usage
        return f"data: {encode(chunk)}\n\n"

    def _head(self) -> JsonObject:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def choice(
    index: int, text: str, logprobs: JsonObject | None, finish_reason: str | None
) -> JsonObject:
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }


class Logprobs:
    """Writes logprobs as completions have them, with where in the text each token begins."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._offset = 0

    def to_wire(
        self, tokens: Sequence[int], logprobs: Sequence[TokenIdLogprob | None]
    ) -> JsonObject:
        """More tokens, and theirs; None for a prompt's first, which nothing comes before."""
        texts = [self._text(token) for token in tokens]
        offsets: list[int] = []
        for text in texts:
            offsets.append(self._offset)
            self._offset += len(text)
        return {
            "tokens": list(texts),
            "token_logprobs": [None if one is None else finite(one.logprob) for one in logprobs],
            "top_logprobs": [None if one is None else self._top(one) for one in logprobs],
            "text_offset": list(offsets),
        }

    def _top(self, scored: TokenIdLogprob) -> JsonObject:
        return {self._text(token): finite(logprob) for token, logprob in scored.top}

    def _text(self, token: int) -> str:
        return self._engine.vocabulary.piece(token).decode("utf-8", "replace")


def usage_to_wire(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
