"""The engine's public face (interface agreed; the body is being written)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kronk_agent.messages import Timings, Usage
from kronk_agent.model import SamplingParams


@dataclass(frozen=True, slots=True)
class Constraint:
    """A compiled grammar; opaque to callers."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one decode step gave one generation."""

    tokens: tuple[int, ...]
    text: str
    """Whole characters only. Special tokens appear as their text, end-of-generation ones do not."""
    finish: GenerationEnd | None = None
    """Only on the last chunk."""


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    reason: Literal["stop", "length"]
    usage: Usage
    timings: Timings


class Vocabulary:
    bos_text: str
    eos_text: str
    special_texts: frozenset[str]  # texts of every control and user-defined token

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool = False) -> list[int]: ...
    def detokenize(self, tokens: Sequence[int]) -> str: ...
    def special_token(self, text: str) -> int | None: ...  # id, when text is exactly one such token


class Engine:
    vocabulary: Vocabulary
    context_length: int
    model_name: str
    chat_templates: Mapping[str, str]  # name ("default", "tool_use") to Jinja source

    @classmethod
    async def open(cls, path: object, params: object = None) -> Engine: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Engine: ...
    async def __aexit__(self, *exc: object) -> None: ...
    async def compile(self, grammar: str) -> Constraint: ...  # llguidance Lark; raises ConstraintError
    def generate(
        self,
        prompt: Sequence[int],
        *,
        sampling: SamplingParams,
        max_tokens: int | None = None,
        constraint: Constraint | None = None,
    ) -> AsyncGenerator[Chunk, None]: ...
