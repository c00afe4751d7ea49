"""Who is asked when a server wants something of the person it works for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from kronk_agent.messages import JsonObject, Message

FormValues: TypeAlias = "dict[str, str | int | float | bool | list[str] | None]"


ElicitAction: TypeAlias = Literal["accept", "decline", "cancel"]
"""MCP's three answers: yes, an explicit no, and dismissed without a choice."""


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """A person's response to a form."""

    action: ElicitAction
    values: FormValues = field(default_factory=dict)
    """By name; only for ``accept``. The host adds the defaults of those that are not there."""


@dataclass(frozen=True, slots=True)
class FormElicitation:
    """A server asks for a few values. It may not ask for secrets, but could."""

    server: str
    """The name it is registered under."""
    message: str
    """Why, in its words."""
    schema: JsonObject
    """JSON Schema of a flat object; its defaults are suggestions."""


@dataclass(frozen=True, slots=True)
class UrlElicitation:
    """A server asks the person to open a web page, and do there what must not pass through us."""

    server: str
    message: str
    url: str
    """https, or http on this machine."""


@dataclass(frozen=True, slots=True)
class SamplingApproval:
    """A server asks to use our model."""

    server: str
    messages: tuple[Message, ...]
    max_tokens: int
    """Tokens the answer may have."""


@dataclass(frozen=True, slots=True)
class ToolApproval:
    """Our model wants to call a tool that the configuration says to ask about."""

    server: str
    tool: str
    """Its own name."""
    arguments: JsonObject


class UserInteraction(Protocol):
    """Asked one thing at a time. May take as long as people do; cancelled when it is moot."""

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        """Ask for the values, and show them before they are sent."""
        ...

    async def approve_url(self, visit: UrlElicitation) -> ElicitAction:
        """Show the whole address, and open it if the person agrees."""
        ...

    async def approve_sampling(self, use: SamplingApproval) -> bool:
        """May the server's request go to our model?"""
        ...

    async def approve_tool_call(self, use: ToolApproval) -> bool:
        """May the tool be called with these arguments?"""
        ...
