"""Answers tool calls. Whatever goes wrong becomes a result that the model reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio
from anyio import BrokenResourceError, ClosedResourceError, WouldBlock, move_on_after
from anyio.streams.memory import MemoryObjectSendStream

from kronk_agent.agent.policy import Approve, Approved, Denied, Pending, decide
from kronk_agent.errors import ServerUnavailableError, ToolError, unwrap
from kronk_agent.messages import Event, JsonObject, TextPart, ToolCall, ToolProgress, ToolResult
from kronk_agent.tool import Rule, RunContext, Tool, ToolContext

logger = logging.getLogger(__name__)

_NOW = "Answer now, with what is known."
_REPEATED = (
    f"This call was made before with the same arguments and was not made again. {_NOW} "
    "The earlier result:"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call."""

    result: ToolResult
    is_repeat: bool = False
    """The call was made before in this run, so the result is the earlier one."""


@dataclass(slots=True)
class _Earlier:
    """A call that was made, perhaps still under way."""

    done: anyio.Event = field(default_factory=anyio.Event)
    result: ToolResult | None = None
    """None when it is done: it was cancelled."""


class Caller:
    """Makes the calls of one run, none of them twice.

    Args:
        timeout_seconds: for tools that do not say themselves.
        events: where progress is told.
        run: what the tools may know of the run.
        max_calls: more are not made; None is no limit.
        policy: which may be made.
        limits: which may be made at most, whatever the policy allows.
        approve: whom to ask where the policy says ask; None is nobody.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        events: MemoryObjectSendStream[Event],
        run: RunContext | None = None,
        max_calls: int | None = None,
        policy: Sequence[Rule] = (),
        limits: Sequence[Rule] = (),
        approve: Approve | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._approve = approve
        self._timeout_seconds = timeout_seconds
        self._max_calls = max_calls
        self._events = events
        self._run = run
        self._earlier: dict[str, _Earlier] = {}

    @property
    def is_spent(self) -> bool:
        """Have all calls been made that may be?"""
        return self._max_calls is not None and len(self._earlier) >= self._max_calls

    async def permit(self, call: ToolCall, tools: Mapping[str, Tool]) -> Answer | Pending | None:
        """Whether the policy lets the call be made, to be asked before it is answered.

        None: it may. What is wrong with a call by itself is no question of policy.
        """
        tool = tools.get(call.name)
        if tool is None:
            return None
        try:
            arguments = tool.parse_arguments(call.arguments)
        except ToolError:
            return None
        if _key(call, arguments) in self._earlier:
            return None
        match await decide(
            call,
            tool,
            arguments,
            policy=self._policy,
            limits=self._limits,
            approve=self._approve,
        ):
            case Approved():
                return None
            case Pending() as pending:
                return pending
            case Denied(reason):
                words = f"{call.name} was not called: {reason}. Do without it."
                return Answer(_failed(call, words))

    async def answer(self, call: ToolCall, tools: Mapping[str, Tool]) -> Answer:
        """Look the tool up, check the arguments, and call it if nothing is wrong."""
        tool = tools.get(call.name)
        if tool is None:
            known = ", ".join(tools) or "none"
            return Answer(_failed(call, f"There is no tool {call.name!r}. The tools are: {known}"))
        try:
            arguments = tool.parse_arguments(call.arguments)
        except ToolError as error:
            return Answer(_failed(call, str(error)))
        key = _key(call, arguments)
        earlier = self._earlier.get(key)
        if earlier is not None:
            return Answer(await _repeated(call, earlier), is_repeat=True)
        if self.is_spent:
            return Answer(_failed(call, f"Not called: {self._max_calls} calls is the most. {_NOW}"))
        made = self._earlier[key] = _Earlier()
        try:
            made.result = await self._make(call, tool, arguments)
        finally:
            made.done.set()
        return Answer(made.result)

    async def _make(self, call: ToolCall, tool: Tool, arguments: JsonObject) -> ToolResult:
        assert tool.call is not None, "a tool of the caller's is not called here"
        own = tool.timeout_seconds
        seconds = self._timeout_seconds if own is None else own
        progress = _Progress(call.id, self._events)
        try:
            with move_on_after(seconds):
                context = ToolContext(
                    call.id, progress, self._run, is_approved=self._approve is not None
                )
                output = await tool.call(arguments, context)
                return ToolResult(
                    call.id,
                    call.name,
                    output.content,
                    is_error=output.is_error,
                    structured=output.structured,
                )
        except Exception as error:  # noqa: BLE001  # boundary: a tool may fail in any way
            return _failed(call, _words(call, unwrap(error)))
        finally:
            progress.stop()
        logger.info("tool %s took longer than %g seconds", call.name, seconds)
        return _failed(call, f"{call.name} was stopped: it took longer than {seconds:g} seconds")


class _Progress:
    """Passes on what a tool reports while it runs, and nothing afterwards."""

    def __init__(self, call_id: str, events: MemoryObjectSendStream[Event]) -> None:
        self._call_id = call_id
        self._events: MemoryObjectSendStream[Event] | None = events

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        if self._events is None:
            return
        # A report must not block: it is dropped when the reader lags behind.
        with suppress(WouldBlock, BrokenResourceError, ClosedResourceError):
            self._events.send_nowait(ToolProgress(self._call_id, progress, total, message))

    def stop(self) -> None:
        self._events = None


def _key(call: ToolCall, arguments: JsonObject) -> str:
    return json.dumps([call.name, arguments], sort_keys=True)


async def _repeated(call: ToolCall, earlier: _Earlier) -> ToolResult:
    await earlier.done.wait()
    if earlier.result is None:
        return _failed(call, "The same call was made before and was cancelled")
    content = (TextPart(_REPEATED), *earlier.result.content)
    return replace(earlier.result, call_id=call.id, content=content)


def _words(call: ToolCall, error: BaseException) -> str:
    if isinstance(error, ToolError | ServerUnavailableError):
        return str(error)
    logger.error("tool %s failed", call.name, exc_info=error)
    return f"failed: {type(error).__name__}: {error}".removesuffix(": ")


def _failed(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, call.name, (TextPart(text),), is_error=True)
