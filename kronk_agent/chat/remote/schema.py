"""What an OpenAI-compatible server sends, as far as we read it.

From OpenAI's API reference (chat completion chunks, models), and for what others add to it:
``reasoning_content`` of vLLM, SGLang and llama-server, ``reasoning`` of vLLM since 0.12 and of
OpenRouter, ``stop_reason`` of vLLM, ``matched_stop`` of SGLang,
``max_model_len`` of vLLM and SGLang, ``context_length`` of OpenRouter, ``meta.n_ctx``
of llama-server.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class _Read(BaseModel):
    """Part of an answer; what we do not read may be there."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class FunctionChunk(_Read):
    name: str | None = None
    arguments: str | None = None


class ToolCallChunk(_Read):
    index: int | None = None
    """Some servers leave it out where there is one call."""
    id: str | None = None
    function: FunctionChunk = FunctionChunk()


class DeltaChunk(_Read):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallChunk, ...] | None = None


class TopLogprobEntry(_Read):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class LogprobEntry(TopLogprobEntry):
    top_logprobs: tuple[TopLogprobEntry, ...] = ()


class LogprobsChunk(_Read):
    content: tuple[LogprobEntry, ...] | None = None


class ChunkChoice(_Read):
    delta: DeltaChunk = DeltaChunk()
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    """Of vLLM: the stop text that ended the answer, or the id of a token."""
    matched_stop: str | int | None = None
    """The same, of SGLang."""
    logprobs: LogprobsChunk | None = None


class PromptDetails(_Read):
    cached_tokens: int | None = None


class CompletionDetails(_Read):
    reasoning_tokens: int | None = None


class UsageChunk(_Read):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ChatChunk(_Read):
    choices: tuple[ChunkChoice, ...] = ()
    usage: UsageChunk | None = None
    error: JsonValue = None
    """Instead of all else, when something goes wrong after the answer has begun."""


class ModelMeta(_Read):
    n_ctx: int | None = None


class ModelListEntry(_Read):
    id: str
    max_model_len: int | None = None
    context_length: int | None = None
    meta: ModelMeta | None = None

    @property
    def tokens(self) -> int | None:
        """How long its context is, where the server says so."""
        n_ctx = self.meta.n_ctx if self.meta else None
        return self.max_model_len or self.context_length or n_ctx


class ModelList(_Read):
    data: tuple[ModelListEntry, ...]
