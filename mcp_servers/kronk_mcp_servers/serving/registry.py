"""The tools, resources and prompts of a server, in MCP types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import mcp.types as t

from kronk_agent.messages import JsonObject

if TYPE_CHECKING:
    from kronk_mcp_servers.serving.request_context import RequestContext

CallServedTool: TypeAlias = "Callable[[JsonObject, RequestContext], Awaitable[t.CallToolResult]]"
"""Answers a call with valid arguments.

A ``KronkError`` becomes a result with ``isError``; an ``MCPError`` becomes a protocol error.
"""

Contents: TypeAlias = t.TextResourceContents | t.BlobResourceContents


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTool:
    """A tool that clients can call."""

    definition: t.Tool
    call: CallServedTool
    task_after_seconds: float | None = None
    """Time until a call becomes a task, if the client supports tasks.

    0 means at once, None never.
    """
    is_task_only: bool = False
    """True if clients without task support cannot call it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """Suggested values of an argument."""

    values: tuple[str, ...]
    """Best first; at most 100 are sent."""


class ResourceSource(Protocol):
    """A source of resources. It returns None for URIs that are not its own."""

    async def resources(self) -> Sequence[t.Resource]:
        """Return the resources."""
        ...

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        """Return the resource templates."""
        ...

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        """Read a resource."""
        ...

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Suggest values for an argument of a template."""
        ...


class PromptSource(Protocol):
    """A source of prompts. It returns None for names that are not its own."""

    async def prompts(self) -> Sequence[t.Prompt]:
        """Return the prompts."""
        ...

    async def get(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult | None:
        """Return a prompt's messages."""
        ...

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        """Suggest values for an argument of a prompt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything a server offers."""

    tools: Callable[[], Sequence[ServedTool]]
    """Returns the current tools, in a stable order; must neither block nor raise."""
    resources: tuple[ResourceSource, ...] = field(default=())
    prompts: tuple[PromptSource, ...] = field(default=())
