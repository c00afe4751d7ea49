"""How a model generates: the one declaration of each option, with its range and default.

``ChatRequest`` and ``AgentOptions`` extend ``ModelSettings``. The YAML sections and the fields of
HTTP requests are derived from it (``kronk_agent.config.schema.derived``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_type_hints

from annotated_types import Ge, Gt, Le

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.reading import read_schema

_MAX_BREAKERS = 100
_MAX_STOPS = 64
_INT32_MAX = 2**31 - 1

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
middle: it merges tokens with a common prefix, and ends the text when no token is likely."""

DEFAULT_SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)[:-1]
"""All but ``infill``, in llama.cpp's order."""


def _check_ranges(settings: SamplingParams | ModelSettings) -> None:
    """Check every field of a dataclass against the bounds in its annotation.

    None is in every range, NaN in none.

    Raises:
        InvalidRequestError: a value outside its range; ``param`` names the field.
    """
    cls: Any = type(settings)
    for name, bounds in _bounds(cls).items():
        value = getattr(settings, name)
        if value is not None and not all(_holds(value, bound) for bound in bounds):
            raise InvalidRequestError(
                f"{name} must be {_as_words(bounds)}, not {value!r}", param=name
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen, with llama.cpp's parameters and meanings.

    Raises:
        InvalidRequestError: a value outside its range, or two that exclude each other; ``param``
            names it.
    """

    temperature: Annotated[float, Ge(0), Le(100)] = 0.7
    """Sampling temperature; 0 is greedy."""
    dynatemp_range: Annotated[float, Ge(0), Le(100)] = 0.0
    """Dynamic temperature varies by this much either way with the entropy; 0 is off."""
    dynatemp_exponent: Annotated[float, Ge(0), Le(100)] = 1.0
    """Exponent that maps the entropy to the dynamic temperature's range."""
    top_k: Annotated[int, Ge(0), Le(_INT32_MAX)] = 40
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: Annotated[float, Ge(0), Le(1)] = 0.95
    """Keep the most likely tokens whose probabilities add up to this; 1 keeps all."""
    min_p: Annotated[float, Ge(0), Le(1)] = 0.05
    """Drop tokens less likely than this share of the most likely one; 0 drops none."""
    typical_p: Annotated[float, Ge(0), Le(1)] = 1.0
    """Locally typical sampling; 1 is off."""
    top_n_sigma: Annotated[float, Ge(-1), Le(100)] = -1.0
    """Keep logits within this many standard deviations of the highest; -1 is off."""
    xtc_probability: Annotated[float, Ge(0), Le(1)] = 0.0
    """Chance that XTC removes all likely tokens but the least likely of them; 0 is off."""
    xtc_threshold: Annotated[float, Ge(0), Le(1)] = 0.1
    """Probability from which XTC counts a token as likely; above 0.5 XTC has no effect."""
    repeat_penalty: Annotated[float, Ge(1e-3), Le(100)] = 1.0
    """Divides the logits of recent tokens; 1 is off. Even mild values damage JSON."""
    frequency_penalty: Annotated[float, Ge(-100), Le(100)] = 0.0
    """Subtracted from a token's logit for each time it occurred recently; 0 is off."""
    presence_penalty: Annotated[float, Ge(-100), Le(100)] = 0.0
    """Subtracted once from the logit of every recent token; 0 is off."""
    repeat_last_n: Annotated[int, Ge(-1), Le(_INT32_MAX)] = 64
    """Recent tokens that the three penalties look at; -1 is the whole context."""
    dry_multiplier: Annotated[float, Ge(0), Le(100)] = 0.0
    """Strength of DRY, which penalises repeated sequences; 0 is off."""
    dry_base: Annotated[float, Ge(1), Le(100)] = 1.75
    """DRY's penalty grows by this factor with every token of the repeated sequence."""
    dry_allowed_length: Annotated[int, Ge(0), Le(_INT32_MAX)] = 2
    """Length in tokens up to which DRY does not penalise a repeated sequence."""
    dry_penalty_last_n: Annotated[int, Ge(-1), Le(_INT32_MAX)] = -1
    """Recent tokens that DRY looks at; -1 is the whole context."""
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    """Texts that end a repeated sequence for DRY; at most 100, none of them empty."""
    mirostat: Annotated[int, Ge(0), Le(2)] = 0
    """Version of Mirostat, 1 or 2, which replaces all other samplers but temperature and logit
    bias; 0 is off."""
    mirostat_tau: Annotated[float, Ge(0), Le(100)] = 5.0
    """Mirostat's target surprise, in bits."""
    mirostat_eta: Annotated[float, Ge(0), Le(1)] = 0.1
    """Mirostat's learning rate."""
    adaptive_target: Annotated[float, Ge(-1), Le(1)] = -1.0
    """Probability around which adaptive-p draws tokens; -1 is off."""
    adaptive_decay: Annotated[float, Ge(0), Le(0.99)] = 0.9
    """Share of its history that adaptive-p keeps at each token."""
    samplers: tuple[SamplerName, ...] = DEFAULT_SAMPLERS
    """Samplers in the order in which they are applied; those left out are not applied."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of tokens, by token id."""
    seed: Annotated[int, Ge(0), Le(2**32 - 2)] | None = None
    """The same seed, prompt and engine give the same tokens; None draws a seed."""

    def __post_init__(self) -> None:
        _check_ranges(self)
        self._check_breakers()
        self._check_samplers()
        self._check_mirostat()

    @property
    def has_penalties(self) -> bool:
        """True if the repeat, frequency or presence penalty is on."""
        return bool(self.repeat_penalty != 1 or self.frequency_penalty or self.presence_penalty)

    def _check_breakers(self) -> None:
        if "" in self.dry_sequence_breakers or len(self.dry_sequence_breakers) > _MAX_BREAKERS:
            raise InvalidRequestError(
                f"dry_sequence_breakers: at most {_MAX_BREAKERS} texts, none of them empty",
                param="dry_sequence_breakers",
            )

    def _check_samplers(self) -> None:
        known = get_args(SamplerName)
        for name in self.samplers:
            if name not in known or self.samplers.count(name) > 1:
                raise InvalidRequestError(
                    f"samplers: {name!r} is unknown or repeated; available: {', '.join(known)}",
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
                    f"{name}={getattr(self, name)!r} cannot be combined with mirostat", param=name
                )


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools; the grammar enforces it.

    Raises:
        InvalidRequestError: a mode without what it needs, or with what another needs.
    """

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None
    """The tool to call; with mode ``named`` only."""
    allowed: tuple[str, ...] | None = None
    """With ``auto`` and ``required``: only these may be called, though the model sees all."""

    def __post_init__(self) -> None:
        if (self.mode == "named") != (self.name is not None):
            raise InvalidRequestError(
                "tool_choice: a tool's name goes with mode 'named', and only with it",
                param="tool_choice",
            )
        if self.allowed is not None and (self.mode in ("none", "named") or not self.allowed):
            raise InvalidRequestError(
                "tool_choice: allowed tools, at least one, go with 'auto' and 'required' only",
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
    """The format of the answer; the grammar enforces it.

    Raises:
        InvalidRequestError: a type without what it needs, or with what another needs.
    """

    type: ResponseType = "text"
    schema: JsonObject | None = None
    """The answer's JSON Schema, with ``json_schema``; of any draft, kept as ``read_schema``
    converts it."""
    strict: bool = True
    """False drops keywords of the schema that are wrong or cannot be enforced."""
    pattern: str | None = None
    """With ``regex``: a regular expression for the whole answer, in the syntax of Rust's regex
    crate. With ``lark`` and ``gbnf``: a grammar, llguidance's Lark or llama.cpp's GBNF."""

    def __post_init__(self) -> None:
        if (self.type == "json_schema") != (self.schema is not None):
            raise InvalidRequestError(
                "response_format: a schema goes with 'json_schema', and only with it",
                param="response_format",
            )
        if self.schema is not None:
            read = read_schema(self.schema)
            if read.problems and self.strict:
                raise InvalidRequestError(
                    f"response_format: invalid JSON Schema: {read.problems[0]}",
                    param="response_format",
                )
            object.__setattr__(self, "schema", read.schema)
        if (self.type in ("regex", "lark", "gbnf")) != bool(self.pattern):
            raise InvalidRequestError(
                "response_format: a pattern goes with 'regex', 'lark' and 'gbnf' only",
                param="response_format",
            )


ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How the model generates one turn.

    Raises:
        InvalidRequestError: a value outside its range, or two that exclude each other; ``param``
            names it.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    """Whether to call tools, and which. In an agent's run ``required`` and ``named`` apply to the
    first step only, the allowed tools to all."""
    parallel_tool_calls: bool = True
    """False allows at most one tool call in a turn."""
    max_parallel_calls: Annotated[int, Ge(1)] | None = None
    """Maximum tool calls in a turn; None is the model's own limit."""
    tool_call_bias: Annotated[float, Ge(-1000), Le(1000)] | None = None
    """With tool choice ``auto``: one token before the turn decides whether to call, with this added
    to the logit of calling. For very small models; None lets the model decide as it generates."""
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    """The format of the answer. Calls may come instead of it, where tools may be called."""
    enable_thinking: bool | None = None
    """Whether to think before answering; None leaves it to the model."""
    reasoning_effort: ReasoningEffort | None = None
    """How much to think, for chat templates with such a setting; ``none`` turns thinking off."""
    reasoning_budget: Annotated[int, Ge(0)] | None = None
    """Maximum tokens of thinking in a turn, after which the answer begins; 0 turns thinking off.
    None for no limit."""
    separate_reasoning: bool = True
    """False leaves the thinking in the text, between the model's own delimiters."""
    max_tokens: Annotated[int, Ge(1)] | None = None
    """Maximum completion tokens of a turn; None is up to the context length."""
    stop: tuple[str, ...] = ()
    """Stop sequences, at most 64; they are not part of the answer."""
    logprobs: bool = False
    """Return the log probabilities of the answer's tokens, without thinking and tool calls."""
    top_logprobs: Annotated[int, Ge(0), Le(20)] = 0
    """Most likely alternatives to return for each token; needs ``logprobs``."""
    chat_template_kwargs: Mapping[str, JsonValue] = field(default_factory=dict)
    """Additional variables for the chat template."""
    continue_final_message: bool = False
    """Continue the last message, an assistant's without calls; in a run, in the first step."""
    max_tool_description_tokens: Annotated[int, Ge(1)] | None = None
    """Maximum tokens of each tool's and parameter's description; longer ones are cut at the end of
    a sentence. None cuts none."""
    cache_salt: str = ""
    """The prefix cache is shared only between prompts of the same salt, as in vLLM."""
    share_prefix: bool = False
    """Share the state after instructions and tools between all salts, and save it to disk where
    the engine has a cache folder. For instructions and tools of the operator only."""
    streamed: bool = True
    """False if the turn is not read as it is generated: the engine may then return it in larger
    pieces and compute longer steps, which is faster."""

    def __post_init__(self) -> None:
        _check_ranges(self)
        if "" in self.stop or len(self.stop) > _MAX_STOPS:
            raise InvalidRequestError(
                f"stop: at most {_MAX_STOPS} sequences, none of them empty", param="stop"
            )
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs: true", param="top_logprobs")
        if self.enable_thinking and self.is_thinking_enabled is False:
            raise InvalidRequestError(
                "enable_thinking: true contradicts reasoning_budget 0 or reasoning_effort none",
                param="enable_thinking",
            )

    @property
    def is_thinking_enabled(self) -> bool | None:
        """Whether to think, according to all settings; None leaves it to the model."""
        if self.reasoning_budget == 0 or self.reasoning_effort == "none":
            return False
        return self.enable_thinking


_Bound: TypeAlias = Ge | Gt | Le


@cache
def _bounds(cls: type[Any]) -> Mapping[str, tuple[_Bound, ...]]:
    """The bounds of each field that has some, from its annotation."""
    found = {
        name: tuple(bound for bound in _metadata(hint) if isinstance(bound, _Bound))
        for name, hint in get_type_hints(cls, include_extras=True).items()
    }
    return {name: bounds for name, bounds in found.items() if bounds}


def _metadata(hint: object) -> tuple[object, ...]:
    """The metadata of an annotation and of the members of a union."""
    own: tuple[object, ...] = getattr(hint, "__metadata__", ())
    members = () if own else get_args(hint)
    return own + tuple(mark for member in members for mark in _metadata(member))


def _holds(value: float, bound: _Bound) -> bool:
    match bound:
        case Ge(int() | float() as limit):
            return value >= limit
        case Gt(int() | float() as limit):
            return value > limit
        case Le(int() | float() as limit):
            return value <= limit
    raise AssertionError(bound)


def _as_words(bounds: tuple[_Bound, ...]) -> str:
    match bounds:
        case (Ge(low), Le(high)):
            return f"from {low} to {high}"
        case (Gt(low), Le(high)):
            return f"above {low} and at most {high}"
        case (Ge(low),):
            return f"at least {low}"
        case (Gt(low),):
            return f"above {low}"
    raise AssertionError(bounds)
