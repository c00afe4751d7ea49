"""What a chat model is: messages and tools in, deltas out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, get_args

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Delta, JsonObject, JsonValue, Message
from kronk_agent.tools import Tool
from kronk_agent.tools.schema.reading import read_schema

_MAX_BREAKERS = 100
_MAX_STOPS = 64
_MAX_BIAS = 1000
_MAX_TOP_LOGPROBS = 20

SamplerName: TypeAlias = Literal[
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typ_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
    "infill",
]
"""llama.cpp's names of the samplers whose order can be chosen. ``infill`` is for filling in the
middle: it adds up tokens that begin alike, and ends rather than go on unsurely."""

DEFAULT_SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)[:-1]
"""All but ``infill``, in llama.cpp's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen, in llama.cpp's terms and with its meanings.

    Raises:
        InvalidRequestError: a value outside its range, or two that exclude each other; ``param``
            names it.
    """

    temperature: float = 0.7
    """0 takes the likeliest token every time."""
    dynatemp_range: float = 0.0
    """The temperature varies by this much either way with the entropy; 0 is off."""
    dynatemp_exponent: float = 1.0
    """How the entropy maps to the range."""
    top_k: int = 40
    """Keep the k likeliest; 0 keeps all."""
    top_p: float = 0.95
    """Keep the likeliest that together reach this probability; 1 keeps all."""
    min_p: float = 0.05
    """Drop what is less likely than this share of the likeliest; 0 drops none."""
    typical_p: float = 1.0
    """Locally typical sampling; 1 is off."""
    top_n_sigma: float = -1.0
    """Keep logits within this many standard deviations of the highest; -1 is off."""
    xtc_probability: float = 0.0
    """How often XTC removes all likely tokens but the least likely of them; 0 is off."""
    xtc_threshold: float = 0.1
    """The probability from which XTC counts a token as likely; over 0.5 it never finds two."""
    repeat_penalty: float = 1.0
    """Divides the logits of recent tokens; 1 is off. Even mild values damage JSON."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_last_n: int = 64
    """How many recent tokens the three penalties look at; -1 is the whole context."""
    dry_multiplier: float = 0.0
    """Strength of DRY, which penalises repeating sequences; 0 is off."""
    dry_base: float = 1.75
    """The penalty grows by this factor with every token of the repeated sequence."""
    dry_allowed_length: int = 2
    """Repeated sequences up to this length cost nothing."""
    dry_penalty_last_n: int = -1
    """How many recent tokens DRY looks at; -1 is the whole context."""
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    """Texts that no repeated sequence reaches across."""
    mirostat: int = 0
    """1 or 2 is that version of Mirostat, which keeps the surprise even; it takes the place of
    all other samplers but the temperature and the logit bias. 0 is off."""
    mirostat_tau: float = 5.0
    """The surprise Mirostat aims at, in bits."""
    mirostat_eta: float = 0.1
    """How fast Mirostat adapts."""
    adaptive_target: float = -1.0
    """Adaptive-p draws tokens around this probability; -1 is off."""
    adaptive_decay: float = 0.9
    """How long adaptive-p remembers."""
    samplers: tuple[SamplerName, ...] = DEFAULT_SAMPLERS
    """The order they are applied in; one that is left out is not applied."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Token id to what is added to its logit."""
    seed: int | None = None
    """The same seed, prompt and engine give the same tokens; None draws one."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "temperature": (0, 100),
            "dynatemp_range": (0, 100),
            "dynatemp_exponent": (0, 100),
            "top_k": (0, 2**31 - 1),
            "top_p": (0, 1),
            "min_p": (0, 1),
            "typical_p": (0, 1),
            "top_n_sigma": (-1, 100),
            "xtc_probability": (0, 1),
            "xtc_threshold": (0, 1),
            "repeat_penalty": (1e-3, 100),
            "frequency_penalty": (-100, 100),
            "presence_penalty": (-100, 100),
            "repeat_last_n": (-1, 2**31 - 1),
            "dry_multiplier": (0, 100),
            "dry_base": (1, 100),
            "dry_allowed_length": (0, 2**31 - 1),
            "dry_penalty_last_n": (-1, 2**31 - 1),
            "mirostat": (0, 2),
            "mirostat_tau": (0, 100),
            "mirostat_eta": (0, 1),
            "adaptive_target": (-1, 1),
            "adaptive_decay": (0, 0.99),
            "seed": (0, 2**32 - 2),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN is in no range
                raise InvalidRequestError(
                    f"{name} must be from {low} to {high}, not {value!r}", param=name
                )
        self._check_breakers()
        self._check_samplers()
        self._check_mirostat()

    @property
    def has_penalties(self) -> bool:
        """Is any of the repeat, frequency and presence penalties on?"""
        return bool(self.repeat_penalty != 1 or self.frequency_penalty or self.presence_penalty)

    def _check_breakers(self) -> None:
        if "" in self.dry_sequence_breakers or len(self.dry_sequence_breakers) > _MAX_BREAKERS:
            raise InvalidRequestError(
                f"dry_sequence_breakers are at most {_MAX_BREAKERS} texts, none of them empty",
                param="dry_sequence_breakers",
            )

    def _check_samplers(self) -> None:
        known = get_args(SamplerName)
        for name in self.samplers:
            if name not in known or self.samplers.count(name) > 1:
                raise InvalidRequestError(
                    f"samplers are some of {', '.join(known)}, each once: not {name!r}",
                    param="samplers",
                )

    def _check_mirostat(self) -> None:
        if not self.mirostat:
            return
        others = {
            "temperature": self.temperature == 0,
            "repeat_penalty": self.has_penalties,
            "dry_multiplier": self.dry_multiplier > 0,
            "xtc_probability": self.xtc_probability > 0,
            "top_n_sigma": self.top_n_sigma > 0,
            "adaptive_target": self.adaptive_target >= 0,
        }
        for name, excludes in others.items():
            if excludes:
                raise InvalidRequestError(
                    f"{name}={getattr(self, name)!r} and mirostat exclude each other", param=name
                )


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools; the grammar enforces it."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None
    """The tool to call, when the mode is ``named``."""
    allowed: tuple[str, ...] | None = None
    """With ``auto`` and ``required``: only these may be called, and the model still sees all."""

    def __post_init__(self) -> None:
        if (self.mode == "named") != (self.name is not None):
            raise InvalidRequestError(
                "tool_choice 'named' takes a tool's name, and no other mode does",
                param="tool_choice",
            )
        if self.allowed is not None and (self.mode in ("none", "named") or not self.allowed):
            raise InvalidRequestError(
                "tool_choice takes allowed tools, at least one, with 'auto' and 'required' only",
                param="tool_choice",
            )

    @classmethod
    def parse(cls, text: str) -> ToolChoice:
        """``auto``, ``none``, ``required``, or the name of a tool."""
        match text:
            case "auto" | "none" | "required":
                return cls(text)
            case _:
                return cls("named", text)


ResponseType: TypeAlias = Literal["text", "json_object", "json_schema", "regex", "lark", "gbnf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """What form the answer has; the grammar enforces it.

    Raises:
        InvalidRequestError: a form without what it needs, or with what another needs.
    """

    type: ResponseType = "text"
    schema: JsonObject | None = None
    """The answer's JSON Schema, with ``json_schema``. It may be of any draft, and is kept as
    ``read_schema`` reads it."""
    strict: bool = True
    """False leaves out what is wrong in the schema, or cannot be enforced."""
    pattern: str | None = None
    """With ``regex``, a regular expression for the whole answer, as Rust's regex crate has them;
    with ``lark`` and ``gbnf``, a grammar: llguidance's Lark, llama.cpp's GBNF."""

    def __post_init__(self) -> None:
        if (self.type == "json_schema") != (self.schema is not None):
            raise InvalidRequestError(
                "response_format 'json_schema' takes a schema, and no other type does",
                param="response_format",
            )
        if self.schema is not None:
            read = read_schema(self.schema)
            if read.problems and self.strict:
                raise InvalidRequestError(
                    f"response_format: the JSON Schema is wrong: {read.problems[0]}",
                    param="response_format",
                )
            object.__setattr__(self, "schema", read.schema)
        if (self.type in ("regex", "lark", "gbnf")) != bool(self.pattern):
            raise InvalidRequestError(
                "response_format takes a pattern with 'regex', 'lark' and 'gbnf' only",
                param="response_format",
            )


ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One turn to be generated."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    """False allows at most one call in the turn."""
    max_parallel_calls: int | None = None
    """Calls in the turn at most; None is the model's own limit."""
    tool_call_bias: float | None = None
    """With ``auto``, decides by one token before the turn whether to call: added to the logit of
    the token that begins a call. For very small models; None lets the model decide as it goes."""
    response_format: ResponseFormat = ResponseFormat()
    """The form of the answer. Calls may come instead of it, where tools may be called."""
    enable_thinking: bool | None = None
    """Whether to think before answering; None leaves it to the model."""
    reasoning_effort: ReasoningEffort | None = None
    """How much to think, for the templates that know the word. ``none`` is not thinking."""
    reasoning_budget: int | None = None
    """Tokens of thinking at most; then the answer begins. 0 is not thinking."""
    separate_reasoning: bool = True
    """False leaves the thinking in the text, between the model's own marks."""
    chat_template_kwargs: Mapping[str, JsonValue] = field(default_factory=dict)
    """More variables for the chat template, by name."""
    continue_final_message: bool = False
    """Go on with the last message, which is the assistant's, where it ends."""
    max_tool_description_tokens: int | None = None
    """Tokens of a tool's or parameter's description at most; longer ones are cut at the end of a
    sentence. None cuts none."""
    cache_salt: str = ""
    """Prompts share what the prefix cache holds only with prompts of the same salt, as in vLLM."""
    share_prefix: bool = False
    """Share the state after instructions and tools with all salts, and save it to disk where the
    engine has a folder for it. For instructions that are an operator's, not a person's."""
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    """Completion tokens at most; None is what the context has room for."""
    stop: tuple[str, ...] = ()
    """Texts that end the turn; they are not part of the answer."""
    logprobs: bool = False
    """Tell the logprobs of the answer's tokens; not of thinking and calls."""
    top_logprobs: int = 0
    """With so many alternatives for each, 0 to 20."""
    streamed: bool = True
    """False when nobody reads the turn as it comes. The model may then hold it back for a moment,
    and work in longer steps, which is faster."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise InvalidRequestError("messages is empty: give at least one", param="messages")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidRequestError(
                f"max_tokens must be at least 1, not {self.max_tokens}", param="max_tokens"
            )
        if self.tool_call_bias is not None and not abs(self.tool_call_bias) <= _MAX_BIAS:
            raise InvalidRequestError(
                f"tool_call_bias must be from -{_MAX_BIAS} to {_MAX_BIAS}, "
                f"not {self.tool_call_bias!r}",
                param="tool_call_bias",
            )
        if "" in self.stop or len(self.stop) > _MAX_STOPS:
            raise InvalidRequestError(
                f"stop is at most {_MAX_STOPS} texts, none of them empty", param="stop"
            )
        if not 0 <= self.top_logprobs <= _MAX_TOP_LOGPROBS:
            raise InvalidRequestError(
                f"top_logprobs must be from 0 to {_MAX_TOP_LOGPROBS}, not {self.top_logprobs}",
                param="top_logprobs",
            )
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs: true", param="top_logprobs")
        self._check_reasoning()
        self._check_continuation()
        names = [tool.name for tool in self.tools]
        for name, count in Counter(names).items():
            if count > 1:
                raise InvalidRequestError(f"{count} tools are named {name!r}", param="tools")
        self._check_tool_choice(names)

    @property
    def is_thinking_enabled(self) -> bool | None:
        """Whether to think, whichever field says so; None leaves it to the model."""
        if self.reasoning_budget == 0 or self.reasoning_effort == "none":
            return False
        return self.enable_thinking

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """The tools that ``tool_choice`` lets the model call."""
        choice = self.tool_choice
        match choice.mode:
            case "none":
                return ()
            case "named":
                return tuple(tool for tool in self.tools if tool.name == choice.name)
            case _:
                allowed = choice.allowed
                return tuple(t for t in self.tools if allowed is None or t.name in allowed)

    @property
    def max_calls(self) -> int | None:
        """Calls in the turn at most; None is the model's own limit."""
        if self.tool_choice.mode == "named" or not self.parallel_tool_calls:
            return 1
        return self.max_parallel_calls

    def _check_reasoning(self) -> None:
        if self.reasoning_budget is not None and self.reasoning_budget < 0:
            raise InvalidRequestError(
                f"reasoning_budget must be at least 0, not {self.reasoning_budget}",
                param="reasoning_budget",
            )
        if self.enable_thinking and self.is_thinking_enabled is False:
            raise InvalidRequestError(
                "enable_thinking is true, and the budget or the effort leaves nothing to think",
                param="enable_thinking",
            )
        if self.max_parallel_calls is not None and self.max_parallel_calls < 1:
            raise InvalidRequestError(
                f"max_parallel_calls must be at least 1, not {self.max_parallel_calls}",
                param="max_parallel_calls",
            )

    def _check_continuation(self) -> None:
        last = self.messages[-1]
        if self.continue_final_message and (last.role != "assistant" or last.tool_calls):
            raise InvalidRequestError(
                "continue_final_message goes on with an assistant's message without calls, and "
                f"the last is from the {last.role}" + (" and has calls" if last.tool_calls else ""),
                param="continue_final_message",
            )

    def _check_tool_choice(self, names: list[str]) -> None:
        choice = self.tool_choice
        for name in choice.allowed or ():
            if name not in names:
                raise InvalidRequestError(
                    f"tool_choice allows {name!r}, which is not one of the tools: "
                    + (", ".join(names) or "none"),
                    param="tool_choice",
                )
        if choice.mode == "named" and choice.name not in names:
            known = ", ".join(names) or "none"
            raise InvalidRequestError(
                f"tool_choice names {choice.name!r}, which is not one of the tools: {known}",
                param="tool_choice",
            )
        if choice.mode == "required" and not names:
            raise InvalidRequestError(
                "tool_choice 'required' needs at least one tool", param="tool_choice"
            )


Capability: TypeAlias = Literal[
    "generate", "chat", "tools", "thinking", "embed", "rerank", "fim", "image", "audio"
]
"""``generate`` goes on with any text, ``chat`` answers a conversation, ``fim`` fills in the middle
of a text."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model."""

    id: str
    context_length: int
    """Tokens that prompt and completion may have together."""
    capabilities: frozenset[Capability]


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt as the model reads it."""

    text: str
    """Without a beginning-of-sequence token that the template did not write."""
    num_tokens: int
    """With it."""


class ChatModel(Protocol):
    """Generates turns. Safe to use from several tasks at once."""

    @property
    def info(self) -> ModelInfo: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The turn as it is generated; the last delta is always ``Finish``.

        Closing the generator early stops the generation and frees what it held.

        Raises:
            InvalidRequestError: the request can never work with this model.
            OverloadedError: too many requests are waiting.
            EngineError: the engine failed meanwhile.
            ModelError: it had been unloaded, and cannot be loaded again.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without any template around it."""
        ...

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """How many tokens the prompt of a request has: messages, tools, and the template.

        Raises:
            InvalidRequestError: the request can never work with this model.
        """
        ...

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """The prompt of a request: messages and tools, as the template writes them.

        Raises:
            InvalidRequestError: the request can never work with this model, or the prompt is
                written elsewhere and not known here.
        """
        ...
