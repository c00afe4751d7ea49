"""Messages of an OpenAI-compatible server, as far as they are read.

Based on OpenAI's API reference (chat completion chunks, models). Additions of others:
``reasoning_content`` of vLLM, SGLang and llama-server, ``reasoning`` of vLLM since 0.12 and of
OpenRouter, ``stop_reason`` of vLLM, ``matched_stop`` of SGLang, ``max_model_len`` of vLLM and
SGLang, ``context_length`` of OpenRouter, ``meta.n_ctx`` of llama-server.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class _ResponseModel(BaseModel):
    """Part of a response; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class FunctionChunk(_ResponseModel):
    """Name and arguments of a call, or parts of them."""

    name: str | None = None
    arguments: str | None = None


class ToolCallChunk(_ResponseModel):
    """Part of a call."""

    index: int | None = None
    """Some servers omit it for a single call."""
    id: str | None = None
    function: FunctionChunk = FunctionChunk()


class DeltaChunk(_ResponseModel):
    """Text, thinking and calls that a chunk adds."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCallChunk, ...] | None = None


class TopLogprobEntry(_ResponseModel):
    """An alternative token and its log probability."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class LogprobEntry(TopLogprobEntry):
    """A generated token, its log probability and its alternatives."""

    top_logprobs: tuple[TopLogprobEntry, ...] = ()


class LogprobsChunk(_ResponseModel):
    """Log probabilities of the tokens in a chunk."""

    content: tuple[LogprobEntry, ...] | None = None


class ChunkChoice(_ResponseModel):
    """One choice of a chunk; we always request one."""

    delta: DeltaChunk = DeltaChunk()
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    """Of vLLM: the stop sequence that ended the answer, or a token id."""
    matched_stop: str | int | None = None
    """The same, of SGLang."""
    logprobs: LogprobsChunk | None = None


class PromptDetails(_ResponseModel):
    """Details of the prompt's token count."""

    cached_tokens: int | None = None


class CompletionDetails(_ResponseModel):
    """Details of the completion's token count."""

    reasoning_tokens: int | None = None


class UsageChunk(_ResponseModel):
    """Token counts of an answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ChatChunk(_ResponseModel):
    """One chunk of a streamed chat completion."""

    choices: tuple[ChunkChoice, ...] = ()
    usage: UsageChunk | None = None
    error: JsonValue = None
    """Sent instead of all else if the server fails after the answer has started."""


class ModelMeta(_ResponseModel):
    """llama-server's details of a model."""

    n_ctx: int | None = None


class ModelListEntry(_ResponseModel):
    """A model in the server's list."""

    id: str
    max_model_len: int | None = None
    context_length: int | None = None
    meta: ModelMeta | None = None

    @property
    def tokens(self) -> int | None:
        """Context length, if the server reports it."""
        n_ctx = self.meta.n_ctx if self.meta else None
        return self.max_model_len or self.context_length or n_ctx


class ModelList(_ResponseModel):
    """The server's list of models."""

    data: tuple[ModelListEntry, ...]
