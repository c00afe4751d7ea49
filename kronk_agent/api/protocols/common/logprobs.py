"""Logprobs as OpenAI writes them, in chat completions and responses alike."""

from __future__ import annotations

from kronk_agent.messages import JsonObject, TokenLogprob

_LEAST = -9999.0
"""What OpenAI says where the probability is zero: JSON has no infinity."""


def finite(logprob: float) -> float:
    return max(logprob, _LEAST)


def logprob_to_wire(scored: TokenLogprob) -> JsonObject:
    """A token, with its alternatives."""
    return {**_token(scored), "top_logprobs": [_token(other) for other in scored.top]}


def _token(scored: TokenLogprob) -> JsonObject:
    return {"token": scored.text, "bytes": list(scored.bytes), "logprob": finite(scored.logprob)}
