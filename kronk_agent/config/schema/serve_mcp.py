"""What the file may say of kronk-agent as an MCP server."""

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
        words = "a prompt's name is 1-64 of A-Z a-z 0-9 _ - and starts with a letter or digit"
        raise ValueError(words)
    return name


PromptName: TypeAlias = Annotated[
    str, AfterValidator(_check_prompt_name), Field(json_schema_extra={"pattern": _PROMPT_NAME})
]


class PromptConfig(Section):
    """A prompt that clients offer to their users; {{ name }} in its text is an argument."""

    text: str | None = None
    """The text itself."""
    file: Path | None = None
    """A file with the text, in place of text."""
    description: str = ""
    """What it is for."""
    arguments: dict[str, str] = Field(default_factory=dict)
    """What the arguments are, by name."""

    @model_validator(mode="after")
    def _one_of_two(self) -> PromptConfig:
        if (self.text is None) == (self.file is None):
            raise ValueError("needs text or file, and not both")
        return self


class RemoteCallersConfig(Section):
    """What is different for those who come over HTTP."""

    expose: tuple[str, ...] | None = None
    """In place of serve_mcp.expose. null: the same."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """May a tool be called, by them or by the agent for them: allow, ask or deny, as under policy
    of the whole, which holds too: of the two the stricter one does."""


class ServeMcpConfig(Section):
    """kronk-agent as an MCP server: `mcp serve`, and /mcp of `serve`."""

    expose: tuple[str, ...] = ("ask_agent", "web_search", "web_fetch")
    """Tools that clients see: ask_agent, generate, embed, list_models, web_search, web_fetch, and
    by the names they have here your own and those of MCP servers; * and ? stand for any text."""
    max_prompt_characters: Annotated[int, Field(ge=1)] = 1_000_000
    """Characters a prompt for the agent may have. What is too long for the model is refused too."""
    max_hops: Annotated[int, Field(ge=1)] = 3
    """How many agents in a row may call one another, this one included; it ends circles."""
    prompts: dict[PromptName, PromptConfig] = Field(default_factory=dict)
    """Prompts for clients, by name."""
    remote: RemoteCallersConfig = RemoteCallersConfig()
