"""How agents work, and how tokens are chosen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from kronk_agent.config.schema.base import NotEmptyNames, Seconds, Section, ToolPattern
from kronk_agent.model import DEFAULT_SAMPLERS, ReasoningEffort, SamplerName
from kronk_agent.tools.policy import Permission

_INT32_MAX = 2**31 - 1
_AGENT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"


def _check_agent_name(name: str) -> str:
    if not re.fullmatch(_AGENT_NAME, name) or name == "default":
        raise ValueError(
            "an agent's name is 1-64 of A-Z a-z 0-9 _ -, starts with a letter or digit, and is not "
            "default, which is the one under agent:"
        )
    return name


AgentName: TypeAlias = Annotated[
    str, AfterValidator(_check_agent_name), Field(json_schema_extra={"pattern": _AGENT_NAME})
]


class SamplingConfig(Section):
    """How tokens are chosen when a request does not say."""

    temperature: Annotated[float, Field(ge=0, le=100)] = 0.7
    """0 takes the likeliest token every time."""
    dynatemp_range: Annotated[float, Field(ge=0, le=100)] = 0.0
    """The temperature varies by this much either way with the entropy; 0 is off."""
    dynatemp_exponent: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How the entropy maps to the range."""
    top_k: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 40
    """Keep the k likeliest; 0 keeps all."""
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Keep the likeliest that together reach this probability; 1 keeps all."""
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Drop what is less likely than this share of the likeliest; 0 drops none."""
    typical_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Locally typical sampling; 1 is off."""
    top_n_sigma: Annotated[float, Field(ge=-1, le=100)] = -1.0
    """Keep logits within this many standard deviations of the highest; -1 is off."""
    xtc_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often XTC removes all likely tokens but the least likely of them; 0 is off."""
    xtc_threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The probability from which XTC counts a token as likely."""
    repeat_penalty: Annotated[float, Field(ge=1e-3, le=100)] = 1.0
    """Divides the logits of recent tokens; 1 is off. Even mild values damage JSON."""
    frequency_penalty: Annotated[float, Field(ge=-100, le=100)] = 0.0
    """Taken from a token's logit each time it was among the recent ones; 0 is off."""
    presence_penalty: Annotated[float, Field(ge=-100, le=100)] = 0.0
    """Taken once from the logit of every recent token; 0 is off."""
    repeat_last_n: Annotated[int, Field(ge=-1, le=_INT32_MAX)] = 64
    """How many recent tokens the three penalties look at; -1 is the whole context."""
    dry_multiplier: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Strength of DRY, which penalises repeating sequences; 0 is off."""
    dry_base: Annotated[float, Field(ge=1, le=100)] = 1.75
    """The penalty grows by this factor with every token of the repeated sequence."""
    dry_allowed_length: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 2
    """Repeated sequences up to this length cost nothing."""
    dry_penalty_last_n: Annotated[int, Field(ge=-1, le=_INT32_MAX)] = -1
    """How many recent tokens DRY looks at; -1 is the whole context."""
    dry_sequence_breakers: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=100)
    ] = ("\n", ":", '"', "*")
    """Texts that no repeated sequence reaches across."""
    mirostat: Annotated[int, Field(ge=0, le=2)] = 0
    """1 or 2 is that version of Mirostat, in place of the other samplers; 0 is off."""
    mirostat_tau: Annotated[float, Field(ge=0, le=100)] = 5.0
    """The surprise Mirostat aims at, in bits."""
    mirostat_eta: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How fast Mirostat adapts."""
    adaptive_target: Annotated[float, Field(ge=-1, le=1)] = -1.0
    """Adaptive-p draws tokens around this probability; -1 is off."""
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9
    """How long adaptive-p remembers."""
    samplers: tuple[SamplerName, ...] = DEFAULT_SAMPLERS
    """The order they are applied in; one that is left out is not applied."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 2)] | None = None
    """The same seed, prompt and engine give the same tokens. null: another one every time."""


class AgentConfig(Section):
    """How the agent works."""

    instructions: str = "You are a helpful assistant."
    """The system message."""
    tool_choice: str = "auto"
    """auto, none, required, or a tool's name. Holds for the first step; then the model chooses."""
    parallel_tool_calls: bool = True
    """May the model call several tools in one turn?"""
    max_parallel_calls: Annotated[int, Field(ge=1)] | None = None
    """Calls in one turn at most. null: the model's own limit."""
    parallel_tools: Literal["auto", "always", "never"] = "auto"
    """Which calls of one turn run side by side. auto: those of read-only tools, the others in
    order."""
    max_steps: Annotated[int, Field(ge=1)] = 10
    """Model turns in one run; in the last one the model must answer."""
    max_tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Calls in one run at most; then the model must answer. null: no limit."""
    max_identical_calls: Annotated[int, Field(ge=2)] = 3
    """Identical calls in a row, with identical results, until the model is told to do something
    else; after two more it must answer."""
    max_tokens: Annotated[int, Field(ge=1)] | None = 2048
    """Tokens of one model turn. null: what the context has room for."""
    compaction: Literal["auto", "off"] = "auto"
    """auto: a conversation that takes too much of the context is shortened. off: it fails."""
    compact_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the context that a prompt may take before it is shortened."""
    tool_timeout_seconds: Seconds = 60.0
    """How long one tool call may take."""
    enable_thinking: bool | None = None
    """Whether to think before answering. null: the model decides."""
    reasoning_effort: ReasoningEffort | None = None
    """How much to think, for models that know the word."""
    reasoning_budget: Annotated[int, Field(ge=0)] | None = None
    """Tokens of thinking in one turn at most. null: no limit."""
    max_tool_description_tokens: Annotated[int, Field(ge=1)] | None = 256
    """Tokens of a tool's or parameter's description at most; cut at a sentence. null: all."""
    tool_call_bias: Annotated[float, Field(ge=-1000, le=1000)] | None = None
    """Decides by one token before each turn whether to call. null: the model decides."""


class NamedAgentConfig(AgentConfig):
    """One of several agents; what it does not say is as under agent."""

    description: str = ""
    """What it is for; lists of agents show it."""
    model: str | None = None
    """A name from models. null: the model of all."""
    tools: NotEmptyNames | None = None
    """Tools it has, by the names the model sees; * and ? stand for any text. null: all."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """May a tool be called; in addition to what policy says for all."""
    sampling: SamplingConfig = SamplingConfig()
    """How its tokens are chosen; what is not said here is as under sampling."""

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What is not said must not become a value of its own.
        written: dict[str, Any] = dump(self)
        shown = {key: value for key, value in written.items() if key in self.model_fields_set}
        if "sampling" in shown:
            shown["sampling"] = {
                key: value
                for key, value in shown["sampling"].items()
                if key in self.sampling.model_fields_set
            }
        return shown
