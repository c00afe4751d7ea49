"""Ollama's ``options``, ``format``, ``think`` and ``keep_alive``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, JsonValue

from kronk_agent.api.protocols.common.sampling import SamplingFields
from kronk_agent.api.protocols.common.schema import LenientModel, NoEffect
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import ResponseFormat, SamplingParams

Format: TypeAlias = Literal["", "json"] | dict[str, JsonValue]
KeepAlive: TypeAlias = float | str
Think: TypeAlias = bool | Literal["low", "medium", "high", "max"]

_Loading: TypeAlias = Annotated[object, NoEffect("set in the server's YAML")]
_Removed: TypeAlias = Annotated[object, NoEffect("removed from llama.cpp")]

_RANDOM_SEED = -1
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "": 1.0,
}
_STEP = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|)")
_DURATION = re.compile(rf"[-+]?(?:{_STEP.pattern})+")
_MAX_DURATION = 64
"""Maximum length in characters."""
_MAX_SECONDS = 100 * 365.25 * 24 * 3600
"""A hundred years; a longer time to stay loaded counts as infinite."""


class OllamaOptions(LenientModel, SamplingFields):
    """Sampling options, and the length of the answer."""

    model_config = ConfigDict(extra="allow")

    num_predict: int | None = None
    """Maximum tokens of the answer; below 1 or left out: up to the context length."""
    stop: str | list[str] | None = None
    """Texts that end the answer; not part of it."""
    num_ctx: Annotated[
        int | None, NoEffect("set by engine.context_length in the server's YAML")
    ] = None
    num_keep: Annotated[object, NoEffect("long chats are summarised instead")] = None
    num_batch: _Loading = None
    num_gpu: _Loading = None
    main_gpu: _Loading = None
    num_thread: _Loading = None
    numa: _Loading = None
    low_vram: _Loading = None
    f16_kv: _Loading = None
    logits_all: _Loading = None
    vocab_only: _Loading = None
    use_mmap: _Loading = None
    use_mlock: _Loading = None
    embedding_only: _Loading = None
    draft_num_predict: _Loading = None
    tfs_z: _Removed = None
    penalize_newline: _Removed = None

    @property
    def max_tokens(self) -> int | None:
        """Maximum tokens of the answer; None: up to the context length."""
        return self.num_predict if self.num_predict and self.num_predict > 0 else None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences as a tuple."""
        stop = self.stop or ()
        return (stop,) if isinstance(stop, str) else tuple(stop)

    def sampling(
        self, default: SamplingParams, tokenize: Callable[[str], list[int]] | None = None
    ) -> SamplingParams:
        """See ``SamplingFields.sampling``; Ollama's default seed is random."""
        params = super().sampling(default, tokenize)
        return replace(params, seed=None) if self.seed == _RANDOM_SEED else params

    def notices(self, context_length: int) -> Iterator[str]:
        """Notices about options that are not honoured.

        Args:
            context_length: the model's context length in tokens.
        """
        if self.num_ctx is not None and self.num_ctx > context_length:
            yield (
                f"options.num_ctx: the context length is {context_length} tokens; change "
                "engine.context_length in the server's YAML"
            )


def response_format(given: Format | None) -> ResponseFormat | None:
    """The required format of the answer; None allows any."""
    match given:
        case None | "":
            return None
        case dict(schema):
            return ResponseFormat(type="json_schema", schema=schema)
        case _:
            return ResponseFormat(type="json_object")


def thinking(given: Think | None) -> dict[str, Any]:
    """The agent options that correspond to ``think``."""
    match given:
        case None:
            return {}
        case bool():
            return {"enable_thinking": given}
        case effort:
            return {"reasoning_effort": effort}


def keep_alive_seconds(keep_alive: KeepAlive | None) -> float | None:
    """Seconds from a model's last use until it is unloaded; None if the request does not say.

    Args:
        keep_alive: seconds, or a duration such as ``5m`` or ``1h30m``; negative values, and
            more than 100 years, mean infinity.

    Raises:
        InvalidRequestError: it is not a duration.
    """
    if keep_alive is None:
        return None
    seconds = _duration(keep_alive) if isinstance(keep_alive, str) else keep_alive
    return seconds if 0 <= seconds <= _MAX_SECONDS else math.inf


def _duration(given: str) -> float:
    """Parse a duration such as ``1h30m`` into seconds."""
    text = given.strip()
    if len(text) > _MAX_DURATION or not _DURATION.fullmatch(text):
        raise InvalidRequestError(
            "keep_alive: must be seconds or a duration such as 5m or 1h30m", param="keep_alive"
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _STEP.findall(text))
    return -seconds if text.startswith("-") else seconds
