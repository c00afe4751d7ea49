"""Resources and prompts, as MCP servers offer them."""

from __future__ import annotations

from dataclasses import dataclass

from kronk_agent.messages import Message, Part


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that can be read."""

    server: str
    """Name the server is registered under."""
    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None
    size: int | None = None
    """Bytes; None: unknown."""


@dataclass(frozen=True, slots=True)
class ResourceTemplate:
    """A template of resource URIs."""

    server: str
    uri_template: str
    """URI template (RFC 6570)."""
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceContents:
    """Contents of a resource when it was read."""

    uri: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PromptArgument:
    """Argument of a prompt."""

    name: str
    description: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: messages to start a conversation with."""

    server: str
    name: str
    title: str | None = None
    description: str | None = None
    arguments: tuple[PromptArgument, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """A prompt with its arguments filled in."""

    description: str | None
    messages: tuple[Message, ...]
