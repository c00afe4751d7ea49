"""A request, and what of an agent's options it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.common.schema import (
    CacheSalt,
    Count,
    NoEffect,
    OpenWire,
    Refused,
    Wire,
)
from kronk_agent.api.protocols.common.settings import SettingsFields
from kronk_agent.api.protocols.openai_chat.messages import WireMessage, is_begun
from kronk_agent.api.protocols.openai_chat.tools import WireTool, WireToolChoice
from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import ReasoningEffort, ResponseFormat

_MAX_CHOICES = 128
_MAX_METADATA = 16


class TextFormat(Wire):
    type: Literal["text"]


class JsonObjectFormat(Wire):
    type: Literal["json_object"]
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    """The object follows this JSON Schema, as llama.cpp's server has it."""


class JsonSchema(Wire):
    name: str
    """Seen by nobody: the schema is enforced, not described."""
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None
    """True: a schema that cannot be enforced whole is refused."""
    description: str | None = None
    """Seen by nobody."""


class JsonSchemaFormat(Wire):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class PatternFormat(Wire):
    """Ours: the answer follows a regular expression or a grammar."""

    type: Literal["regex", "lark", "gbnf"]
    pattern: str


WireResponseFormat: TypeAlias = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat | PatternFormat, Field(discriminator="type")
]


class StreamOptions(Wire):
    include_usage: bool | None = None
    """A last chunk with the usage, and null in all others."""
    include_obfuscation: bool | None = None
    """Chunks are padded, so that their sizes tell nothing of the text."""


class ApproximateLocation(Wire):
    city: str | None = None
    country: str | None = None
    """Two letters; the search prefers results from there."""
    region: str | None = None
    timezone: str | None = None


class UserLocation(Wire):
    type: Literal["approximate"]
    approximate: ApproximateLocation


class WebSearchOptions(Wire):
    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


class ThinkingOption(OpenWire):
    """Anthropic's and DeepSeek's way to turn thinking on and off."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Field(ge=0)] | None = None


class ReasoningOption(OpenWire):
    """OpenRouter's way to say how much to think."""

    effort: ReasoningEffort | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    enabled: bool | None = None


class ChatCompletionRequest(SettingsFields):
    model: str | None = None
    """A model's id, or agent/NAME; the default model when left out."""
    messages: list[WireMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    """Only with stream."""
    n: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] | None = None
    """Answers to generate; with a seed, answer i has seed + i."""
    stop: str | list[str] | None = None
    """Texts that end the answer and are not part of it."""
    max_completion_tokens: Count | None = None
    """Tokens of the answer at most, thinking included."""
    max_tokens: Count | None = None
    """The same, by its old name; max_completion_tokens wins."""
    tools: list[WireTool] | None = None
    tool_choice: WireToolChoice | None = None
    response_format: WireResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Only with logprobs."""
    reasoning_effort: ReasoningEffort | None = None
    web_search_options: WebSearchOptions | None = None
    """The model may search the web, here."""
    metadata: Annotated[dict[str, str], Field(max_length=_MAX_METADATA)] | None = None
    """mcp_servers: names of registered MCP servers, with commas, whose tools may be used, here. All
    else is the client's own; nothing here depends on it."""
    prompt_cache_key: Annotated[object, NoEffect("prompts share what they begin with")] = None
    cache_salt: CacheSalt | None = None
    """The prompt shares the cache only with your prompts of the same salt."""
    user: Annotated[object, NoEffect("who asked, in the client's words")] = None
    safety_identifier: Annotated[object, NoEffect("who asked, in the client's words")] = None
    store: Annotated[bool | None, NoEffect("chat completions are not kept; responses are")] = None
    service_tier: Annotated[object, NoEffect("there is one")] = None
    verbosity: Annotated[object, NoEffect("ask for more or fewer words in words")] = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    audio: Annotated[None, Refused("the answer is text")] = None
    prediction: Annotated[None, Refused("what is repeated is predicted without being told")] = None
    moderation: Annotated[None, Refused("nothing is moderated")] = None
    functions: Annotated[None, Refused("use tools")] = None
    function_call: Annotated[None, Refused("use tool_choice")] = None
    # --- what other servers have ---
    thinking: ThinkingOption | None = None
    reasoning: ReasoningOption | None = None
    repetition_penalty: float | None = None
    """repeat_penalty, as vLLM and others call it."""
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    """max_tokens, as llama.cpp calls it; -1 is no limit."""
    cache_prompt: Annotated[object, NoEffect("prompts always share what they begin with")] = None
    ignore_eos: Literal[False] | None = None
    add_generation_prompt: Literal[True] | None = None
    timings_per_token: Annotated[object, NoEffect("the end has the timings")] = None
    return_progress: Annotated[object, NoEffect("the answer begins with its first token")] = None
    id_slot: Annotated[object, NoEffect("any place finds what is cached")] = None
    request_id: Annotated[object, NoEffect("requests have ids of ours")] = None
    provider: Annotated[object, NoEffect("the model is here")] = None
    # --- ours, and llama.cpp's ---
    grammar: str | None = None
    """The answer follows this GBNF grammar."""
    json_schema: dict[str, JsonValue] | None = None
    """The answer follows this JSON Schema."""
    reasoning_format: Literal["auto", "deepseek", "none"] | None = None
    """none leaves the thinking in the text; otherwise it is reasoning_content."""
    continue_final_message: bool | None = None
    """Go on with the last message, which is the assistant's."""
    max_steps: Count | None = None
    """Turns of the model at most, for one that has tools here."""
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Calls carried out here at most."""

    def options(self, base: AgentOptions) -> AgentOptions:
        """The options of an agent, as this request changes them.

        Raises:
            InvalidRequestError: fields that contradict each other; names one.
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
        """How to think: our own fields come before those of other servers."""
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
            raise InvalidRequestError(
                "stream_options: only when stream is true", param="stream_options"
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError(
                "top_logprobs: only when logprobs is true", param="top_logprobs"
            )
        forms = ("response_format", "grammar", "json_schema")
        given = [name for name in forms if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidRequestError(
                f"{given[1]}: the answer has one form, and {given[0]} says which", param=given[1]
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
