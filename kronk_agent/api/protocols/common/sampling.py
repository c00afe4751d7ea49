"""The sampling parameters of requests, with OpenAI's and llama.cpp's names."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

from kronk_agent.api.model_router import NUM_SEEDS, ModelRouter
from kronk_agent.api.protocols.common.schema import UnicodeBody
from kronk_agent.config.schema.derived import optional_fields_of
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import SamplerName, SamplingParams

_ALL = -1
_MAX_BIASES = 100_000
NEVER = -1e9
"""Added to the logit of a banned token."""
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
"""llama.cpp's other names of samplers."""

Bias: TypeAlias = (
    dict[str, float | bool]
    | Annotated[list[tuple[int | str, float | bool]], Field(max_length=_MAX_BIASES)]
)


def _samplers(value: object) -> object:
    """Replace llama.cpp's other names, and its one-letter names in one text."""
    names = list(value) if isinstance(value, str) else value
    if not isinstance(names, list):
        return value
    plain = [name.replace("-", "_") if isinstance(name, str) else name for name in names]
    return [_SAMPLERS.get(name, name) if isinstance(name, str) else name for name in plain]


def _listed(value: object) -> object:
    """Parse a list that was sent as JSON text."""
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value


_Derived: Any = optional_fields_of(SamplingParams, UnicodeBody)


class SamplingFields(_Derived):  # type: ignore[misc]  # derived
    """The fields of ``SamplingParams``; one that is left out or null is as configured."""

    logit_bias: Bias | None = None
    """Added to the logits of tokens, by token id; also a list of pairs, as llama.cpp has it. false
    bans a token. For local models, a key may also be a text, all of whose tokens are biased."""
    dry_sequence_breakers: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    """Texts that end a repeated sequence for DRY; KoboldCpp's list as JSON text is taken too."""
    samplers: Annotated[list[SamplerName] | None, BeforeValidator(_samplers)] = None
    """Samplers in the order in which they are applied, by any of llama.cpp's names."""

    @property
    def has_text_bias(self) -> bool:
        """True if ``logit_bias`` has texts, which only a local model can tokenize."""
        bias = self.logit_bias or ()
        keys = [key for key, _ in bias] if isinstance(bias, list) else bias
        return any(isinstance(key, str) and not key.isdecimal() for key in keys)

    def sampling(
        self, default: SamplingParams, tokenize: Callable[[str], list[int]] | None = None
    ) -> SamplingParams:
        """The configured sampling parameters with the changes of the request.

        Args:
            default: the configured parameters.
            tokenize: converts texts in ``logit_bias``; None refuses them.

        Raises:
            InvalidRequestError: a value out of range, or two that exclude each other.
        """
        changes: dict[str, Any] = self.model_dump(
            include=set(SamplingFields.model_fields), exclude_none=True
        )
        if self.logit_bias is not None:
            changes["logit_bias"] = _by_token(self.logit_bias, tokenize)
        if "seed" in changes:
            changes["seed"] %= NUM_SEEDS  # the wire's seeds have 64 bits and a sign
        if changes.get("top_k") == _ALL:
            changes["top_k"] = 0
        for name in ("samplers", "dry_sequence_breakers"):
            if name in changes:
                changes[name] = tuple(changes[name])
        return replace(default, **changes)


Fields = TypeVar("Fields", bound=SamplingFields)


async def with_token_bias(models: ModelRouter, id: str, fields: Fields) -> Fields:
    """A copy of the fields with token ids in place of the texts in ``logit_bias``.

    The fields are returned unchanged if they have no such texts or the model is not local.

    Raises:
        UnknownModelError, ModelError, InvalidRequestError: the model is unavailable.
    """
    name = models.model_of(id) or models.runtime.models[0].name
    places = {entry.name: entry.place for entry in models.runtime.models}
    if fields.logit_bias is None or not fields.has_text_bias or places.get(name) != "local":
        return fields
    async with models.engine(name) as engine:
        bias = _by_token(fields.logit_bias, engine.tokenize)
    biased: Fields = fields.model_copy(update={"logit_bias": [*bias.items()]})
    return biased


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
