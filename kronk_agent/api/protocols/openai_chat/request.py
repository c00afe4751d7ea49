"""Requests for ``/v1/chat/completions``, and the agent options they set."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.common.schema import (
    CacheSalt,
    Count,
    LenientModel,
    NoEffect,
    RequestModel,
    Unsupported,
)
from kronk_agent.api.protocols.common.settings import SettingsFields
from kronk_agent.api.protocols.openai_chat.messages import WireMessage, is_begun
from kronk_agent.api.protocols.openai_chat.tools import WireTool, WireToolChoice
from kronk_agent.errors import InvalidRequestError
from kronk_agent.settings import ReasoningEffort, ResponseFormat

_MAX_CHOICES = 128
_MAX_METADATA = 16


class TextFormat(RequestModel):
    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    type: Literal["json_object"]
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    """JSON Schema of the object, as llama-server takes it."""


class JsonSchema(RequestModel):
    name: str
    """Not shown to the model: the schema is enforced by the grammar."""
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused."""
    description: str | None = None
    """Not shown to the model."""


class JsonSchemaFormat(RequestModel):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class PatternFormat(RequestModel):
    """Our extension: the answer matches a regular expression or a grammar."""

    type: Literal["regex", "lark", "gbnf"]
    pattern: str


WireResponseFormat: TypeAlias = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat | PatternFormat, Field(discriminator="type")
]


class StreamOptions(RequestModel):
    include_usage: bool | None = None
    """Adds a last chunk with the usage; the other chunks have null."""
    include_obfuscation: bool | None = None
    """Pads chunks, so that their sizes reveal nothing about the text."""


class ApproximateLocation(RequestModel):
    city: str | None = None
    country: str | None = None
    """Two-letter country code; the search prefers its results."""
    region: str | None = None
    timezone: str | None = None


class UserLocation(RequestModel):
    type: Literal["approximate"]
    approximate: ApproximateLocation


class WebSearchOptions(RequestModel):
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


class ThinkingOption(LenientModel):
    """Thinking as Anthropic and DeepSeek turn it on and off."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Field(ge=0)] | None = None


class ReasoningOption(LenientModel):
    """Thinking as OpenRouter configures it."""

    effort: ReasoningEffort | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    enabled: bool | None = None


class ChatCompletionRequest(SettingsFields):
    model: str | None = None
    """A model id or agent/NAME; the default model if left out."""
    messages: list[WireMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    n: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    """Number of choices; with a seed, choice i uses seed + i."""
    stop: str | list[str] | None = None
    """Stop sequences; not part of the answer."""
    max_completion_tokens: Count | None = None
    """Maximum completion tokens, thinking included."""
    max_tokens: Count | None = None
    """The former name of max_completion_tokens, which takes precedence."""
    tools: list[WireTool] | None = None
    tool_choice: WireToolChoice | None = None
    response_format: WireResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only with logprobs."""
    reasoning_effort: ReasoningEffort | None = None
    web_search_options: WebSearchOptions | None = None
    """Lets the model search the web on this server."""
    metadata: Annotated[dict[str, str], Field(max_length=_MAX_METADATA)] | None = None
    """mcp_servers: comma-separated names of registered MCP servers whose tools the server executes.
    Other entries have no effect."""
    prompt_cache_key: Annotated[object, NoEffect("prompts share their common prefix anyway")] = None
    cache_salt: CacheSalt | None = None
    """Restricts prefix sharing to your prompts with the same salt."""
    user: Annotated[object, NoEffect("an identifier of the client's")] = None
    safety_identifier: Annotated[object, NoEffect("an identifier of the client's")] = None
    store: Annotated[bool | None, NoEffect("chat completions are not kept; responses are")] = None
    service_tier: Annotated[object, NoEffect("there is one service tier")] = None
    verbosity: Annotated[object, NoEffect("ask for a longer or shorter answer in the prompt")] = (
        None
    )
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    audio: Annotated[None, Unsupported("the answer is text")] = None
    prediction: Annotated[None, Unsupported("repeated text is predicted without it")] = None
    moderation: Annotated[None, Unsupported("there is no moderation")] = None
    functions: Annotated[None, Unsupported("use tools")] = None
    function_call: Annotated[None, Unsupported("use tool_choice")] = None
    # --- extensions of other servers ---
    thinking: ThinkingOption | None = None
    reasoning: ReasoningOption | None = None
    repetition_penalty: float | None = None
    """vLLM's name of repeat_penalty."""
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """llama.cpp's name of max_tokens; -1 for no limit."""
    cache_prompt: Annotated[object, NoEffect("prompts share their common prefix anyway")] = None
    ignore_eos: Literal[False] | None = None
    add_generation_prompt: Literal[True] | None = None
    timings_per_token: Annotated[object, NoEffect("the last chunk has the timings")] = None
    return_progress: Annotated[object, NoEffect("the stream begins with the first token")] = None
    id_slot: Annotated[object, NoEffect("all slots share the cache")] = None
    request_id: Annotated[object, NoEffect("the server assigns request ids")] = None
    provider: Annotated[object, NoEffect("the model runs here")] = None
    # --- our extensions, and llama.cpp's ---
    grammar: str | None = None
    """GBNF grammar of the answer."""
    json_schema: dict[str, JsonValue] | None = None
    """JSON Schema of the answer."""
    reasoning_format: Literal["auto", "deepseek", "none"] | None = None
    """none leaves the thinking in the text; otherwise it is in reasoning_content."""
    continue_final_message: bool | None = None
    """Continue the last message, an assistant's."""
    max_steps: Count | None = None
    """Maximum model turns, for an agent whose tools run here."""
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Maximum tool calls executed here."""

    def options(self, base: AgentOptions) -> AgentOptions:
        """The options of an agent with the changes of this request.

        Raises:
            InvalidRequestError: fields that contradict each other; ``param`` names one.
        """
        self._check()
        changes: dict[str, Any] = {
            **self.settings(base),
            "max_tokens": self.max_completion_tokens or self.max_tokens or self._predicted,
            **self._thinking(),
            "continue_final_message": is_begun(self.messages) or self.continue_final_message,
            "max_steps": self.max_steps,
            "max_tool_calls": self.max_tool_calls,
            "stop": None if self.stop is None else self.stops,
            "response_format": self._form(),
            "separate_reasoning": None if self.reasoning_format != "none" else False,
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
            "streamed": bool(self.stream),
        }
        if self.repetition_penalty is not None and self.repeat_penalty is None:
            changes["sampling"] = replace(
                changes["sampling"], repeat_penalty=self.repetition_penalty
            )
        return replace(base, **{key: value for key, value in changes.items() if value is not None})

    @property
    def _predicted(self) -> int | None:
        return None if self.n_predict in (None, -1, 0) else self.n_predict

    def _thinking(self) -> dict[str, Any]:
        """The thinking settings; our own fields take precedence over other servers'."""
        thinking, reasoning = self.thinking, self.reasoning or ReasoningOption()
        enabled = reasoning.enabled if thinking is None else thinking.type != "disabled"
        budget = reasoning.max_tokens if thinking is None else thinking.budget_tokens
        return {
            "enable_thinking": enabled if self.enable_thinking is None else self.enable_thinking,
            "reasoning_effort": self.reasoning_effort or reasoning.effort,
            "reasoning_budget": budget if self.reasoning_budget is None else self.reasoning_budget,
        }

    @property
    def stops(self) -> tuple[str, ...]:
        stop = self.stop or ()
        return (stop,) if isinstance(stop, str) else tuple(stop)

    def _check(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream: true", param="stream_options")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs: true", param="top_logprobs")
        forms = ("response_format", "grammar", "json_schema")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidRequestError(
                f"{given[1]} cannot be combined with {given[0]}", param=given[1]
            )

    def _form(self) -> ResponseFormat | None:
        if self.grammar is not None:
            return ResponseFormat(type="gbnf", pattern=self.grammar)
        if self.json_schema is not None:
            return ResponseFormat(type="json_schema", schema=self.json_schema)
        match self.response_format:
            case None | TextFormat():
                return None
            case JsonObjectFormat(schema_=None):
                return ResponseFormat(type="json_object")
            case JsonObjectFormat(schema_=schema):
                return ResponseFormat(type="json_schema", schema=schema)
            case PatternFormat(type=kind, pattern=pattern):
                return ResponseFormat(type=kind, pattern=pattern)
            case JsonSchemaFormat(json_schema=given):
                return ResponseFormat(
                    type="json_schema", schema=given.schema_ or {}, strict=bool(given.strict)
                )
