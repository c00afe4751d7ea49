"""Logprobs in OpenAI's format, for chat completions and responses."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, TokenLogprob

_LEAST = -9999.0
"""OpenAI's value for a probability of zero, since JSON has no infinity."""


def finite(logprob: float) -> float:
    """The logprob, with minus infinity replaced."""
    return max(logprob, _LEAST)


def logprob_to_wire(scored: TokenLogprob) -> JsonObject:
    """A token's logprob with its alternatives, in OpenAI's format."""
    return {**_token(scored), "top_logprobs": [_token(other) for other in scored.top]}


def _token(scored: TokenLogprob) -> JsonObject:
    return {"token": scored.text, "bytes": list(scored.bytes), "logprob": finite(scored.logprob)}
