"""Reports a run to the client: progress while it runs, and a record of its steps."""

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
from kronk_mcp_servers.serving.request_context import RequestContext

_Opened = TypeVar("_Opened")

OnResult: TypeAlias = Callable[[ToolResult], Awaitable[None]]
"""Called with the result of each tool call."""

TEXT_SECONDS = 0.25
"""Minimum seconds between two reports of text, which otherwise would be sent per token."""
_LOADING_SECONDS = 1.0
_MAX_ARGUMENT_CHARS = 200


class Follower:
    """Reports a run to the client of one call, and records its steps for the result."""

    def __init__(self, call: RequestContext, *, on_result: OnResult | None = None) -> None:
        self.steps: list[JsonObject] = []
        """Each step with its number and its tool calls."""
        self._call = call
        self._on_result = on_result
        self._num_reports = 0
        self._text: list[str] = []
        self._reported_at = -TEXT_SECONDS

    async def opening(self, what: str, open: Callable[[], Awaitable[_Opened]]) -> _Opened:
        """Wait for something slow, such as loading a model, and report that."""
        async with open_task_group() as tasks:
            tasks.start_soon(self._report_loading, what)
            opened = await open()
            tasks.cancel_scope.cancel()
        return opened

    async def follow(self, agent: Agent, messages: list[Message]) -> RunFinished:
        """Run the agent and return the last event.

        Raises:
            KronkError: the run failed.
        """
        finished: RunFinished | None = None
        async with agent.run(messages, approve=approving(self._call)) as run:
            async for event in run:
                await self._handle(event)
                if isinstance(event, RunFinished):
                    finished = event
        assert finished is not None, "the last event of a run"
        await self._report_text()
        if finished.reason == "error":
            raise finished.exception or ToolError(finished.error or "the run failed")
        return finished

    async def _handle(self, event: Event) -> None:
        match event:
            case StepStarted(step):
                calls: list[JsonValue] = []
                self.steps.append({"step": step, "tool_calls": calls})
                await self._report(f"step {step}")
            case TextDelta(text):
                self._text.append(text)
                if time.monotonic() - self._reported_at >= TEXT_SECONDS:
                    await self._report_text()
            case ToolStarted(call):
                arguments = call.arguments[:_MAX_ARGUMENT_CHARS]
                await self._report(f"calling {call.name} {arguments}")
            case ToolProgress(message=str(message)):
                await self._report(message)
            case ToolFinished(result, seconds):
                self._keep(result, seconds)
                if self._on_result is not None:
                    await self._on_result(result)
                outcome = "failed" if result.is_error else "finished"
                await self._report(f"{result.name} {outcome} after {seconds:.1f} s")
            case Notice(text):
                await self._call.log("warning", text)
            case ContextCompacted():
                await self._call.log("info", event.text)
            case _:
                pass

    def _keep(self, result: ToolResult, seconds: float) -> None:
        calls = self.steps[-1]["tool_calls"]
        assert isinstance(calls, list)
        calls.append(
            {"tool": result.name, "is_error": result.is_error, "seconds": round(seconds, 3)}
        )

    async def _report_text(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            self._reported_at = time.monotonic()
            await self._report(text)

    async def _report_loading(self, what: str) -> None:
        started = anyio.current_time()
        while True:
            await anyio.sleep(_LOADING_SECONDS)
            await self._report(f"{what}: {anyio.current_time() - started:.0f} s")

    async def _report(self, message: str) -> None:
        self._num_reports += 1
        await self._call.report_progress(self._num_reports, None, message)


def usage_value(usage: Usage) -> JsonObject:
    """Return the token counts in the form of the results."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
