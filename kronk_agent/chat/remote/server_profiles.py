"""What each kind of upstream takes beside OpenAI's own fields.

Sources: OpenAI's API reference; vLLM's "Structured Outputs" and "OpenAI-Compatible Server" pages;
SGLang's "Structured Outputs" and "Sampling Parameters" pages; llama.cpp's tools/server/README.md
and server-schema.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias

from kronk_agent.model import SamplingParams

UpstreamType: TypeAlias = Literal["compatible", "openai", "vllm", "sglang", "llama-server"]
"""``openai`` is OpenAI itself, ``compatible`` any other server of which no more is known."""

_OPENAI_SAMPLING: Final = {
    name: name
    for name in (
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "logit_bias",
    )
}
_GPU_SAMPLING: Final = {
    **_OPENAI_SAMPLING,
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The dialect of the API that one kind of server speaks."""

    sampling: Mapping[str, str] = field(repr=False)
    """Our sampling parameters that it has, and what it calls them."""
    names_tool: bool = True
    """Does ``tool_choice`` take a tool's name? If not, that tool alone is sent, as required."""
    strict: Literal["every", "subset", "none"]
    """Which tools may be marked strict: every one, those of OpenAI's subset of JSON Schema, none.
    vLLM and SGLang hold a call that the model chose to make to its schema only if it is marked."""
    has_template: bool = True
    """Is there a chat template behind it, which takes earlier turns' thinking and variables?"""
    holds_both: bool = False
    """May an answer have a form where tools may be called instead?"""
    max_tokens: str = "max_tokens"
    """The field with that meaning; OpenAI's newer models refuse the old name."""


KINDS: Final[Mapping[UpstreamType, Kind]] = {
    "compatible": Kind(
        sampling=_OPENAI_SAMPLING, strict="subset", has_template=False, holds_both=True
    ),
    "openai": Kind(
        sampling=_OPENAI_SAMPLING,
        strict="subset",
        has_template=False,
        holds_both=True,
        max_tokens="max_completion_tokens",
    ),
    "vllm": Kind(sampling=_GPU_SAMPLING, strict="every"),
    "sglang": Kind(sampling=_GPU_SAMPLING, strict="every"),
    "llama-server": Kind(
        sampling={parameter.name: parameter.name for parameter in fields(SamplingParams)},
        # It reads only the words: an object counts as "auto".
        names_tool=False,
        strict="none",
    ),
}
