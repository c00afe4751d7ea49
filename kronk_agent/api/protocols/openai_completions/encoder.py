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
class CompletionEncoder:
    """Encodes the answer of one request; holds what its chunks have in common."""

    model: str
    include_usage: bool = False
    id: str = field(default_factory=lambda: new_id("cmpl-"))
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, choice: JsonObject) -> str:
        """A chunk with the next part of a choice."""
        return self._frame([choice], None)

    def last_frames(self, usage: JsonObject) -> str:
        """The chunks after the end of all choices."""
        return (self._frame([], usage) if self.include_usage else "") + DONE

    def whole(self, choices: Sequence[JsonObject], usage: JsonObject) -> JsonObject:
        """The whole completion."""
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
    """A choice, or its next part."""
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }


class Logprobs:
    """Encodes logprobs with each token's offset in the text."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._offset = 0

    def to_wire(
        self, tokens: Sequence[int], logprobs: Sequence[TokenIdLogprob | None]
    ) -> JsonObject:
        """Encode the next tokens; the first prompt token has no logprob (None)."""
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
    """The usage in OpenAI's format."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
