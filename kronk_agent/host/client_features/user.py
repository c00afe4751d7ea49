"""Interface to the user: forms, URLs and approvals that servers ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from kronk_agent.messages import JsonObject, Message

FormValues: TypeAlias = "dict[str, str | int | float | bool | list[str] | None]"


ElicitAction: TypeAlias = Literal["accept", "decline", "cancel"]
"""MCP's three answers: accepted, explicitly declined, or dismissed without a choice."""


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """The user's response to a form."""

    action: ElicitAction
    values: FormValues = field(default_factory=dict)
    """By field name; only for ``accept``. The host fills in the defaults of missing fields."""


@dataclass(frozen=True, slots=True)
class FormElicitation:
    """A server asks for a few values. It must not ask for secrets, but nothing stops it."""

    server: str
    """Name the server is registered under."""
    message: str
    """The server's reason."""
    schema: JsonObject
    """JSON Schema of a flat object; its defaults are suggestions."""


@dataclass(frozen=True, slots=True)
class UrlElicitation:
    """A server asks the user to open a web page, for data that must bypass this client."""

    server: str
    message: str
    url: str
    """https, or http on this machine."""


@dataclass(frozen=True, slots=True)
class SamplingApproval:
    """A server asks to use the model."""

    server: str
    messages: tuple[Message, ...]
    max_tokens: int
    """Maximum completion tokens."""


@dataclass(frozen=True, slots=True)
class ToolApproval:
    """The model wants to call a tool whose policy says ``ask``."""

    server: str
    tool: str
    """The server's own name for the tool."""
    arguments: JsonObject


class UserInteraction(Protocol):
    """Asks the user, one question at a time. No timeout; cancelled when no longer needed."""

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        """Ask for the values, and show them before they are sent."""
        ...

    async def approve_url(self, elicitation: UrlElicitation) -> ElicitAction:
        """Show the whole URL, and open it if the user agrees."""
        ...

    async def approve_sampling(self, approval: SamplingApproval) -> bool:
        """Return True if the server's request may be sent to the model."""
        ...

    async def approve_tool_call(self, approval: ToolApproval) -> bool:
        """Return True if the tool may be called with these arguments."""
        ...
