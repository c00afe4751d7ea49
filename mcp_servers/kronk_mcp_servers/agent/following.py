"""A run as the client sees it: progress while it goes on, and what was done in the end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import anyio

from kronk_agent.agent import Agent
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.errors import ToolError
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    JsonObject,
    JsonValue,
    Message,
    Notice,
    RunFinished,
    StepStarted,
    TextDelta,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    Usage,
)
from kronk_mcp_servers.agent.user import approving
from kronk_mcp_servers.serving.call import Call

_Opened = TypeVar("_Opened")

OnResult: TypeAlias = Callable[[ToolResult], Awaitable[None]]
"""Told of what came of each tool call."""

TEXT_SECONDS = 0.25
"""Between two reports of text, which otherwise would be one a token."""
_LOADING_SECONDS = 1.0
_LONGEST_ARGUMENTS = 200


class Follower:
    """Tells one call's client what a run does, and keeps what the result says of it."""

    def __init__(self, call: Call, *, on_result: OnResult | None = None) -> None:
        self.steps: list[JsonObject] = []
        """Each with its number, and the calls of tools that were made in it."""
        self._call = call
        self._on_result = on_result
        self._num_reports = 0
        self._text: list[str] = []
        self._told_at = -TEXT_SECONDS

    async def opening(self, what: str, open: Callable[[], Awaitable[_Opened]]) -> _Opened:
        """Wait for something that may take long, such as a model that is loaded."""
        async with open_task_group() as tasks:
            tasks.start_soon(self._tell_loading, what)
            opened = await open()
            tasks.cancel_scope.cancel()
        return opened

    async def follow(self, agent: Agent, messages: list[Message]) -> RunFinished:
        """The run's end.

        Raises:
            KronkError: it could not be brought to an end; says why.
        """
        finished: RunFinished | None = None
        async with agent.run(messages, approve=approving(self._call)) as run:
            async for event in run:
                await self._take(event)
                if isinstance(event, RunFinished):
                    finished = event
        assert finished is not None, "the last event of a run"
        await self._tell_text()
        if finished.reason == "error":
            raise finished.exception or ToolError(finished.error or "the run failed")
        return finished

    async def _take(self, event: Event) -> None:
        match event:
            case StepStarted(step):
                calls: list[JsonValue] = []
                self.steps.append({"step": step, "tool_calls": calls})
                await self._tell(f"step {step}")
            case TextDelta(text):
                self._text.append(text)
                if time.monotonic() - self._told_at >= TEXT_SECONDS:
                    await self._tell_text()
            case ToolStarted(call):
                arguments = call.arguments[:_LONGEST_ARGUMENTS]
                await self._tell(f"calling {call.name} {arguments}")
            case ToolProgress(message=str(message)):
                await self._tell(message)
            case ToolFinished(result, seconds):
                self._keep(result, seconds)
                if self._on_result is not None:
                    await self._on_result(result)
                outcome = "failed" if result.is_error else "finished"
                await self._tell(f"{result.name} {outcome} after {seconds:.1f} s")
            case Notice(text):
                await self._call.log("warning", text)
            case ContextCompacted():
                await self._call.log("info", event.text)
            case _:
                pass

    def _keep(self, result: ToolResult, seconds: float) -> None:
        made = self.steps[-1]["tool_calls"]
        assert isinstance(made, list)
        made.append(
            {"tool": result.name, "is_error": result.is_error, "seconds": round(seconds, 3)}
        )

    async def _tell_text(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            self._told_at = time.monotonic()
            await self._tell(text)

    async def _tell_loading(self, what: str) -> None:
        started = anyio.current_time()
        while True:
            await anyio.sleep(_LOADING_SECONDS)
            await self._tell(f"{what}: {anyio.current_time() - started:.0f} s")

    async def _tell(self, message: str) -> None:
        self._num_reports += 1
        await self._call.report_progress(self._num_reports, None, message)


def usage_value(usage: Usage) -> JsonObject:
    """The token counts, as the results have them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
