"""What a server offers, in the protocol's own words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import mcp.types as t

from kronk_agent.messages import JsonObject

if TYPE_CHECKING:
    from kronk_mcp_servers.serving.call import Call

CallServedTool: TypeAlias = "Callable[[JsonObject, Call], Awaitable[t.CallToolResult]]"
"""Answers a call whose arguments are valid. A ``KronkError`` becomes a result that says
``isError``; an ``MCPError`` an error of the protocol."""

Contents: TypeAlias = t.TextResourceContents | t.BlobResourceContents


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTool:
    """A tool clients may call."""

    definition: t.Tool
    call: CallServedTool
    task_after_seconds: float | None = None
    """A call that takes longer goes on as a task, where the client knows tasks; 0 is at once, None
    never."""
    is_task_only: bool = False
    """It cannot be called by clients that know no tasks."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What an argument may be."""

    values: tuple[str, ...]
    """The best first; no more than 100 are sent."""


class ResourceSource(Protocol):
    """Some of the resources. What is not its own it answers with None."""

    async def resources(self) -> Sequence[t.Resource]: ...

    async def templates(self) -> Sequence[t.ResourceTemplate]: ...

    async def read(self, uri: str, call: Call) -> Sequence[Contents] | None: ...

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None: ...


class PromptSource(Protocol):
    """Some of the prompts. What is not its own it answers with None."""

    async def prompts(self) -> Sequence[t.Prompt]: ...

    async def get(
        self, name: str, arguments: Mapping[str, str], call: Call
    ) -> t.GetPromptResult | None: ...

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything a server offers."""

    tools: Callable[[], Sequence[ServedTool]]
    """Those there are right now, in an order that stays; must neither block nor raise."""
    resources: tuple[ResourceSource, ...] = field(default=())
    prompts: tuple[PromptSource, ...] = field(default=())
