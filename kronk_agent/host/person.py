"""Who is asked when a server wants something of the person it works for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from kronk_agent.messages import JsonObject, Message

FormValues: TypeAlias = "dict[str, str | int | float | bool | list[str] | None]"


@dataclass(frozen=True, slots=True)
class Form:
    """A server asks for a few values. It may not ask for secrets, but could."""

    server: str
    """The name it is registered under."""
    message: str
    """Why, in its words."""
    schema: JsonObject
    """JSON Schema of a flat object; its defaults are suggestions."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A server asks the person to open a web page, and do there what must not pass through us."""

    server: str
    message: str
    url: str
    """https, or http on this machine."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A server asks to use our model."""

    server: str
    messages: tuple[Message, ...]
    max_tokens: int
    """Tokens the answer may have."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Our model wants to call a tool that the configuration says to ask about."""

    server: str
    tool: str
    """Its own name."""
    arguments: JsonObject


class Person(Protocol):
    """Asked one thing at a time. May take as long as people do; cancelled when it is moot."""

    async def fill_in(self, form: Form) -> FormValues | None:
        """The values; None when the person declines."""
        ...

    async def agree_to_visit(self, visit: Visit) -> bool:
        """Show the whole address, and open it if the person agrees."""
        ...

    async def agree_to_model_use(self, use: ModelUse) -> bool:
        """May the server's request go to our model?"""
        ...

    async def agree_to_tool_use(self, use: ToolUse) -> bool:
        """May the tool be called with these arguments?"""
        ...
