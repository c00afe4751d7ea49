"""The agents of a configuration: the one under ``agent:``, and those under ``agents:``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from kronk_agent.agent import AgentOptions
from kronk_agent.config.schema.config import Config, NamedAgentConfig
from kronk_agent.errors import UnknownModelError
from kronk_agent.model import SamplingParams, ToolChoice
from kronk_agent.tools import Tool, Toolset, instructions_of
from kronk_agent.tools.policy import is_named, rules_in

_OF_ONE = {"description", "model", "tools", "policy", "sampling"}
"""What a named agent has beside what ``agent:`` has."""


@dataclass(frozen=True, slots=True)
class FilteredToolset:
    """Those of a toolset whose names match one of some globs."""

    toolset: Toolset
    globs: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.toolset.name

    @property
    def instructions(self) -> str:
        return instructions_of(self.toolset)

    def tools(self) -> Sequence[Tool]:
        return [tool for tool in self.toolset.tools() if is_named(tool.name, self.globs)]


def agent_config(config: Config, name: str) -> NamedAgentConfig:
    """What the configuration says of an agent.

    Raises:
        UnknownModelError: there is none of that name.
    """
    found = config.agents.get(name)
    if found is None:
        nearest = difflib.get_close_matches(name, config.agents, n=1) or [*config.agents]
        known = f"there is {', '.join(map(repr, nearest))}" if nearest else "agents: has none"
        raise UnknownModelError(f"there is no agent {name!r}; {known}")
    return found


def agent_options(config: Config, own: NamedAgentConfig | None = None) -> AgentOptions:
    """The options of an agent: its own where it says something, else those of all."""
    values = config.agent.model_dump()
    sampling = config.sampling.model_dump()
    policy = rules_in(config.policy)
    if own is not None:
        policy += rules_in(own.policy)
        values |= own.model_dump(exclude=_OF_ONE)
        sampling |= own.sampling.model_dump(include=own.sampling.model_fields_set)
    choice = ToolChoice.parse(values.pop("tool_choice"))
    return AgentOptions(
        **values,
        policy=policy,
        tool_choice=choice,
        share_prefix=True,
        sampling=SamplingParams(**sampling),
    )


def agent_toolsets(
    toolsets: tuple[Toolset, ...], own: NamedAgentConfig | None
) -> tuple[Toolset, ...]:
    """The toolsets of an agent, with only the tools it has."""
    if own is None or own.tools is None:
        return toolsets
    return tuple(FilteredToolset(toolset, own.tools) for toolset in toolsets)
