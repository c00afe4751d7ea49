"""Settings of kronk-agent as an MCP server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from kronk_agent.config.schema.base import Section, ToolPattern
from kronk_agent.tools.policy import Permission

_PROMPT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"


def _check_prompt_name(name: str) -> str:
    if not re.fullmatch(_PROMPT_NAME, name):
        raise ValueError(
            "a prompt's name is 1-64 of A-Z a-z 0-9 _ -, starting with a letter or digit"
        )
    return name


PromptName: TypeAlias = Annotated[
    str, AfterValidator(_check_prompt_name), Field(json_schema_extra={"pattern": _PROMPT_NAME})
]


class PromptConfig(Section):
    """An MCP prompt that clients offer to their users; {{ name }} in its text is an argument."""

    text: str | None = None
    """The text of the prompt."""
    file: Path | None = None
    """File with the text, instead of text."""
    description: str = ""
    """Description of the prompt."""
    arguments: dict[str, str] = Field(default_factory=dict)
    """Descriptions of the arguments, by name."""

    @model_validator(mode="after")
    def _check_source(self) -> PromptConfig:
        if (self.text is None) == (self.file is None):
            raise ValueError("needs either text or file, not both")
        return self


class RemoteCallersConfig(Section):
    """Differences for clients that connect over HTTP."""

    expose: tuple[str, ...] | None = None
    """Overrides serve_mcp.expose. null: the same."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """Rules for tool calls by these clients, and by the agent on their behalf.

    The top-level policy also applies: the stricter of the two wins.
    """


class ServeMcpConfig(Section):
    """kronk-agent as an MCP server: `mcp serve`, and /mcp of `serve`."""

    expose: tuple[str, ...] = ("ask_agent", "web_search", "web_fetch")
    """Tools that clients see; * and ? are wildcards.

    Known are ask_agent, generate, embed, list_models, web_search, web_fetch, your own tools, and
    those of MCP servers under the names the model sees.
    """
    max_prompt_characters: Annotated[int, Field(ge=1)] = 1_000_000
    """Maximum characters of a prompt for the agent, which must also fit the model's context."""
    max_hops: Annotated[int, Field(ge=1)] = 3
    """Maximum call depth of agents that call one another, including this one; stops cycles."""
    prompts: dict[PromptName, PromptConfig] = Field(default_factory=dict)
    """MCP prompts, by name."""
    remote: RemoteCallersConfig = RemoteCallersConfig()
