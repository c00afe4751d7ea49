"""What servers offer beside tools: resources to read, and prompts to begin with."""

from __future__ import annotations

from dataclasses import dataclass

from kronk_agent.messages import Message, Part


@dataclass(frozen=True, slots=True)
class Resource:
    """Something to read."""

    server: str
    """The name the server is registered under."""
    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None
    size: int | None = None
    """Bytes, where the server knows."""


@dataclass(frozen=True, slots=True)
class ResourceTemplate:
    """Resources whose addresses have gaps to be filled."""

    server: str
    uri_template: str
    """As in RFC 6570."""
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceContents:
    """What a resource held when it was read."""

    uri: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PromptArgument:
    """A gap in a prompt."""

    name: str
    description: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages to begin a conversation with."""

    server: str
    name: str
    title: str | None = None
    description: str | None = None
    arguments: tuple[PromptArgument, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """A prompt with its gaps filled."""

    description: str | None
    messages: tuple[Message, ...]
