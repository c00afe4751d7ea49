"""The agents of a configuration: the default one, ``agent:``, and the named ones, ``agents:``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from kronk_agent.agent import AgentOptions
from kronk_agent.config.schema.config import Config, NamedAgentConfig
from kronk_agent.errors import UnknownModelError
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.tools import Tool, Toolset, instructions_of
from kronk_agent.tools.policy import is_named, rules_in

_NAMED_AGENT_KEYS = {"description", "model", "tools", "policy", "sampling"}
"""Keys of a named agent that ``agent:`` does not have."""


@dataclass(frozen=True, slots=True)
class FilteredToolset:
    """The tools of a toolset whose names match one of several globs."""

    toolset: Toolset
    globs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the toolset."""
        return self.toolset.name

    @property
    def instructions(self) -> str:
        """The instructions of the toolset."""
        return instructions_of(self.toolset)

    def tools(self) -> Sequence[Tool]:
        """Return the matching tools."""
        return [tool for tool in self.toolset.tools() if is_named(tool.name, self.globs)]


def agent_config(config: Config, name: str) -> NamedAgentConfig:
    """Return the configuration of a named agent.

    Raises:
        UnknownModelError: no agent has that name.
    """
    found = config.agents.get(name)
    if found is None:
        nearest = difflib.get_close_matches(name, config.agents, n=1) or [*config.agents]
        available = ", ".join(map(repr, nearest)) or "none"
        raise UnknownModelError(f"unknown agent {name!r}; available: {available}")
    return found


def agent_options(config: Config, agent: NamedAgentConfig | None = None) -> AgentOptions:
    """Return the options of an agent: its own settings override those of ``agent:``."""
    values = config.agent.model_dump()
    sampling = config.sampling.model_dump()
    policy = rules_in(config.policy)
    if agent is not None:
        policy += rules_in(agent.policy)
        values |= agent.model_dump(exclude=_NAMED_AGENT_KEYS)
        sampling |= agent.sampling.model_dump(include=agent.sampling.model_fields_set)
    choice = ToolChoice.parse(values.pop("tool_choice"))
    return AgentOptions(
        **values,
        policy=policy,
        tool_choice=choice,
        share_prefix=True,
        sampling=SamplingParams(**sampling),
    )


def agent_toolsets(
    toolsets: tuple[Toolset, ...], agent: NamedAgentConfig | None
) -> tuple[Toolset, ...]:
    """Return the toolsets of an agent, restricted to its tools."""
    if agent is None or agent.tools is None:
        return toolsets
    return tuple(FilteredToolset(toolset, agent.tools) for toolset in toolsets)
