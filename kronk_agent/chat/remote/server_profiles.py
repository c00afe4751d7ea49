"""API differences between the types of upstream servers.

Sources: OpenAI's API reference; vLLM's "Structured Outputs" and "OpenAI-Compatible Server" pages;
SGLang's "Structured Outputs" and "Sampling Parameters" pages; llama.cpp's tools/server/README.md
and server-schema.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypeAlias

from kronk_agent.settings import SamplingParams

UpstreamType: TypeAlias = Literal["compatible", "openai", "vllm", "sglang", "llama-server"]
"""``openai`` is OpenAI itself, ``compatible`` any server that is not known better."""

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
    """Differences from OpenAI's API in one type of server."""

    sampling: Mapping[str, str] = field(repr=False)
    """Sampling parameters the server supports: our names and its names."""
    names_tool: bool = True
    """True if ``tool_choice`` accepts a tool's name. If not, only that tool is sent, as required.
    """
    strict: Literal["every", "subset", "none"]
    """Tools that may be marked strict: all, those in OpenAI's subset of JSON Schema, or none. vLLM
    and SGLang enforce the schema of an optional call only if the tool is marked."""
    has_template: bool = True
    """True if the server applies a chat template that accepts thinking of earlier turns and
    variables."""
    holds_both: bool = False
    """True if ``response_format`` may be combined with optional tool calls."""
    max_tokens: str = "max_tokens"
    """Name of the field; OpenAI's newer models refuse ``max_tokens``."""


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
        # tool_choice must be a string; an object counts as "auto".
        names_tool=False,
        strict="none",
    ),
}
