from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kronk_agent.api.protocols.common.logprobs import finite
from kronk_agent.api.protocols.common.schema import encode
from kronk_agent.api.protocols.openai_chat.events import timings_to_wire
from kronk_agent.engine.engine import Chunk, Engine, GenerationEnd, TokenIdLogprob
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.settings import SamplingParams

_MISSING = object()
_ANY = -1
"""llama.cpp's value for a random seed, or for no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCompletionEncoder:
    """Encodes the answer to one prompt; holds what its chunks have in common."""

    engine: Engine
    model: str
    prompt: Sequence[int]
    settings: JsonObject
    index: int = 0
    """Index of the prompt in the request."""
    fields: Sequence[str] | None = None
    """Fields to include in the last chunk; None includes all."""
    is_scored_after_sampling: bool = False
    notices: Sequence[str] = ()
    """Notices about ignored fields of the request."""

    def frame(self, chunk: Chunk) -> str:
        """A chunk with the next text."""
        shown = self._text(chunk.text, chunk.tokens, chunk.logprobs)
        return f"data: {encode({**shown, 'stop': False})}\n\n"

    def last_frame(self, end: GenerationEnd, *, has_new_line: bool) -> str:
        """The last chunk."""
        last = {**self._text("", (), ()), **self._end(end, has_new_line)}
        return f"data: {encode(self._selected(last))}\n\n"

    def whole(self, chunks: Sequence[Chunk], *, with_tokens: bool) -> JsonObject:
        """The whole completion."""
        tokens = [token for chunk in chunks for token in chunk.tokens]
        text = "".join(chunk.text for chunk in chunks)
        shown = self._text(
            text,
            tokens if with_tokens else (),
            [scored for chunk in chunks for scored in chunk.logprobs],
        )
        end = chunks[-1].end
        assert end is not None
        return self._selected({**shown, **self._end(end, "\n" in text)})

    def _selected(self, whole: JsonObject) -> JsonObject:
        """Only the fields that the request selects; ``a/b`` selects b in a."""
        if not self.fields:
            return whole
        found = {path: _at(whole, path.split("/")) for path in self.fields}
        return {path: value for path, value in found.items() if value is not _MISSING}

    def _text(
        self, text: str, tokens: Sequence[int], logprobs: Sequence[TokenIdLogprob]
    ) -> JsonObject:
        scored: JsonObject = (
            {"completion_probabilities": [self._scored(one) for one in logprobs]}
            if logprobs
            else {}
        )
        return {"index": self.index, "content": text, "tokens": list(tokens), **scored}

    def _end(self, end: GenerationEnd, has_new_line: bool) -> JsonObject:
        usage = end.usage
        num_tokens = usage.prompt_tokens + usage.completion_tokens
        stop_type = "limit" if end.reason == "length" else "word" if end.stop_text else "eos"
        return {
            "stop": True,
            "model": self.model,
            "prompt": self.engine.detokenize(self.prompt),
            "generation_settings": self.settings,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_cached": usage.cached_tokens,
            "has_new_line": has_new_line,
            "truncated": num_tokens >= self.engine.context_length,
            "stop_type": stop_type,
            "stopping_word": end.stop_text or "",
            "timings": timings_to_wire(usage, end.timings),
            **({"kronk": {"notices": list(self.notices)}} if self.notices else {}),
        }

    def _scored(self, scored: TokenIdLogprob) -> JsonObject:
        top = [self._token(token, logprob) for token, logprob in scored.top]
        name = "top_probs" if self.is_scored_after_sampling else "top_logprobs"
        return {**self._token(scored.token, scored.logprob), name: list(top)}

    def _token(self, token: int, logprob: float) -> JsonObject:
        piece = self.engine.vocabulary.piece(token)
        probability: JsonObject = (
            {"prob": math.exp(logprob)}
            if self.is_scored_after_sampling
            else {"logprob": finite(logprob)}
        )
        return {
            "id": token,
            "token": piece.decode("utf-8", "replace"),
            "bytes": list(piece),
            **probability,
        }


def _at(value: JsonValue | object, path: Sequence[str]) -> Any:
    """The value at a path in a JSON value; ``_MISSING`` if it does not exist."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def settings_to_wire(sampling: SamplingParams, *, context_length: int) -> JsonObject:
    """The effective generation settings, without the fields that echo the request."""
    values: dict[str, Any] = asdict(sampling)
    values["logit_bias"] = [[token, bias] for token, bias in sampling.logit_bias.items()]
    values["seed"] = _ANY if sampling.seed is None else sampling.seed
    for name in ("samplers", "dry_sequence_breakers"):
        values[name] = list(values[name])
    return {"n_ctx": context_length, "n_predict": _ANY, **values}
