"""How the next token is chosen, as a request may say: OpenAI's fields and llama.cpp's."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from kronk_agent.api.model_router import NUM_SEEDS
from kronk_agent.api.protocols.common.schema import WholeText
from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import SamplerName, SamplingParams

_ALL = -1
_MAX_BIASES = 100_000
NEVER = -1e9
"""Added to the logit of a token that must not come."""
_SAMPLERS = {
    "temp": "temperature",
    "typical_p": "typ_p",
    "penalty": "penalties",
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "i": "infill",
}
"""Other names that llama.cpp has for samplers."""

Bias: TypeAlias = (
    dict[str, float | bool]
    | Annotated[list[tuple[int | str, float | bool]], Field(max_length=_MAX_BIASES)]
)


def _samplers(value: object) -> object:
    """llama.cpp's other names, and its letters in one text."""
    names = list(value) if isinstance(value, str) else value
    if not isinstance(names, list):
        return value
    plain = [name.replace("-", "_") if isinstance(name, str) else name for name in names]
    return [_SAMPLERS.get(name, name) if isinstance(name, str) else name for name in plain]


def _listed(value: object) -> object:
    """A list that is sent as JSON text."""
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value


class SamplingFields(WholeText):
    """What is left out, or null, is as the server's configuration says."""

    temperature: float | None = None
    """0 takes the likeliest token every time."""
    top_p: float | None = None
    """Keep the likeliest tokens that together reach this probability."""
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Bias | None = None
    """Token id to what is added to its logit, also as a list of pairs, as llama.cpp has it; false
    never comes. Where the model is on a file, texts may stand in place of ids."""
    seed: int | None = None
    """The same seed and the same request give the same answer."""
    top_k: int | None = None
    """Keep the k likeliest; 0 keeps all, and -1 too."""
    min_p: float | None = None
    """Drop what is less likely than this share of the likeliest."""
    typical_p: float | None = None
    top_n_sigma: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    """KoboldCpp sends the list as JSON text, which is taken too."""
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    samplers: Annotated[list[SamplerName] | None, BeforeValidator(_samplers)] = None
    """The order they are applied in; one that is left out is not applied."""

    def sampling(
        self, default: SamplingParams, tokenize: Callable[[str], list[int]] | None = None
    ) -> SamplingParams:
        """The configured sampling, with what the request says in its place.

        Args:
            default: what is configured.
            tokenize: for texts in ``logit_bias``; None refuses them.

        Raises:
            InvalidRequestError: a value out of range, or two that exclude each other.
        """
        changes: dict[str, Any] = self.model_dump(
            include=set(SamplingFields.model_fields), exclude_none=True
        )
        if self.logit_bias is not None:
            changes["logit_bias"] = _by_token(self.logit_bias, tokenize)
        if self.seed is not None:
            changes["seed"] = self.seed % NUM_SEEDS  # the wire's seeds have 64 bits and a sign
        if self.top_k == _ALL:
            changes["top_k"] = 0
        for name in ("samplers", "dry_sequence_breakers"):
            if name in changes:
                changes[name] = tuple(changes[name])
        return replace(default, **changes)


def _by_token(bias: Bias, tokenize: Callable[[str], list[int]] | None) -> dict[int, float]:
    pairs = bias if isinstance(bias, list) else list(bias.items())
    found: dict[int, float] = {}
    for key, value in pairs:
        if value is True:
            continue
        if isinstance(key, int) or key.isdecimal():
            tokens = [int(key)]
        elif tokenize is not None:
            tokens = tokenize(key)
        else:
            raise InvalidRequestError(
                f"logit_bias takes token ids, not {key!r}: /v1/tokenize gives them",
                param="logit_bias",
            )
        found |= dict.fromkeys(tokens, NEVER if value is False else value)
    return found
