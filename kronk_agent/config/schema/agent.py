"""How agents work, and how tokens are chosen."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from kronk_agent.agent.options import PER_REQUEST, AgentOptions
from kronk_agent.config.schema.base import NotEmptyNames, Section, ToolPattern
from kronk_agent.config.schema.derived import section_of
from kronk_agent.settings import SamplingParams
from kronk_agent.tools.policy import Permission

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


_SamplingFields: Any = section_of(SamplingParams, Section, leave_out={"logit_bias"})
_LEFT_OUT = {"sampling", "policy", *PER_REQUEST}
_AgentFields: Any = section_of(AgentOptions, Section, leave_out=_LEFT_OUT)


class SamplingConfig(_SamplingFields):  # type: ignore[misc]  # derived
    """How tokens are chosen when a request does not say: ``SamplingParams``, but for logit bias."""


class AgentConfig(_AgentFields):  # type: ignore[misc]  # derived
    """How the agent works: what ``AgentOptions`` declares, but for what only requests set."""

    tool_choice: str = "auto"
    """auto, none, required, or a tool's name. Applies to the first step; then the model chooses."""


class NamedAgentConfig(AgentConfig):
    """One of several agents; what it does not say is as under agent."""

    description: str = ""
    """Purpose of the agent, shown in lists of agents."""
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
