"""Executes tool calls. Every failure becomes a result that the model reads."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio import BrokenResourceError, ClosedResourceError, WouldBlock, move_on_after
from anyio.streams.memory import MemoryObjectSendStream

from kronk_agent.agent.approval import (
    Approve,
    Approved,
    Denied,
    Pending,
    decide,
    permission_of,
    policy_check,
)
from kronk_agent.errors import (
    InvalidRequestError,
    ServerUnavailableError,
    ToolError,
    unwrap,
)
from kronk_agent.messages import Event, JsonObject, TextPart, ToolCall, ToolProgress, ToolResult
from kronk_agent.tools import Rule, RunContext, Tool, ToolContext, Toolset
from kronk_agent.tools.arguments import parse_json
from kronk_agent.tools.policy import is_never_allowed
from kronk_agent.tools.signature import signature

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Execution:
    """The outcome of a call."""

    result: ToolResult
    usage: str = ""
    """Usage of the tool, for the model to read after a failure; empty if not helpful."""


class ToolExecutor:
    """Authorizes and executes the tool calls of one run.

    Args:
        timeout_seconds: timeout of a call, for tools without their own.
        events: receives the progress of running tools.
        run: passed to the tools.
        max_calls: maximum number of executed calls; None for no limit.
        policy: rules that allow, deny or ask about calls.
        policy_ceiling: a second policy that can only restrict the first.
        approve: asked where the policy says ``ask``; if None, such calls are denied.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        events: MemoryObjectSendStream[Event],
        run: RunContext | None = None,
        max_calls: int | None = None,
        policy: Sequence[Rule] = (),
        policy_ceiling: Sequence[Rule] = (),
        approve: Approve | None = None,
    ) -> None:
        self._policy = policy
        self._policy_ceiling = policy_ceiling
        self._approve = approve
        self._agreed: set[ToolCall] = set()
        self._timeout_seconds = timeout_seconds
        self._max_calls = max_calls
        self._events = events
        self._run = run
        self._num_calls = 0

    @property
    def is_exhausted(self) -> bool:
        """True once ``max_calls`` calls were executed."""
        return self._max_calls is not None and self._num_calls >= self._max_calls

    async def authorize(
        self, call: ToolCall, tools: Mapping[str, Tool]
    ) -> ToolResult | Pending | None:
        """Apply the policy to a call, before ``execute``.

        Returns:
            None if the call is allowed, or invalid in a way that ``execute`` reports; a result if
            it is denied; ``Pending`` if the decision comes later.
        """
        tool = tools.get(call.name)
        if tool is None:
            return None
        try:
            arguments = tool.parse_arguments(call.arguments)
        except ToolError:
            return None
        match await decide(
            call,
            tool,
            arguments,
            policy=self._policy,
            policy_ceiling=self._policy_ceiling,
            approve=self._approve,
        ):
            case Approved():
                self._note_agreement(call, tool, arguments)
                return None
            case Pending() as pending:
                return pending
            case Denied(reason):
                return failed(call, f"{call.name} was not called: {reason}. Do without it.")

    def _note_agreement(self, call: ToolCall, tool: Tool, arguments: JsonObject) -> None:
        """Remember that the user was asked about a call and agreed."""
        decision = permission_of(
            tool,
            arguments,
            policy=self._policy,
            policy_ceiling=self._policy_ceiling,
            can_ask=self._approve is not None,
        )
        if decision == "ask":
            self._agreed.add(call)

    async def execute(self, call: ToolCall, tools: Mapping[str, Tool]) -> Execution:
        """Look up the tool, validate the arguments, and call it."""
        tool = tools.get(call.name)
        if tool is None:
            known = ", ".join(tools) or "none"
            return Execution(
                failed(call, f"There is no tool {call.name!r}. The tools are: {known}")
            )
        try:
            arguments = tool.parse_arguments(call.arguments)
        except ToolError as error:
            return _failure(call, tool, str(error))
        if self.is_exhausted:
            text = f"Not called: the limit of {self._max_calls} calls is reached."
            return Execution(failed(call, text))
        self._num_calls += 1
        return await self._call(call, tool, arguments)

    async def _call(self, call: ToolCall, tool: Tool, arguments: JsonObject) -> Execution:
        assert tool.call is not None, "client tools are not executed here"
        timeout = tool.timeout_seconds
        seconds = self._timeout_seconds if timeout is None else timeout
        progress = _Progress(call.id, self._events)
        check = policy_check(
            tool,
            arguments,
            policy=self._policy,
            policy_ceiling=self._policy_ceiling,
            can_ask=self._approve is not None,
            is_agreed=call in self._agreed,
        )
        self._agreed.discard(call)
        context = ToolContext(
            call.id, progress, self._run, check, is_approved=self._approve is not None
        )
        try:
            with move_on_after(seconds):
                output = await tool.call(arguments, context)
                result = ToolResult(
                    call.id,
                    call.name,
                    output.content,
                    is_error=output.is_error,
                    structured=output.structured,
                )
                return Execution(result, f"Usage: {signature(tool)}" if output.is_error else "")
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -math.inf:  # this task is being cancelled
                raise
            return _failure(call, tool, "failed: the tool cancelled itself")
        except BaseException as error:  # noqa: BLE001  # boundary: a tool may raise anything
            return _call_failure(call, tool, _failure_text(call, unwrap(error)))
        finally:
            progress.stop()
        logger.info("tool %s took longer than %g seconds", call.name, seconds)
        text = f"{call.name} was stopped: it took longer than {seconds:g} seconds"
        return Execution(failed(call, text))


class _Progress:
    """Forwards a tool's progress while it runs; ignores reports after its end."""

    def __init__(self, call_id: str, events: MemoryObjectSendStream[Event]) -> None:
        self._call_id = call_id
        self._events: MemoryObjectSendStream[Event] | None = events

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        if self._events is None:
            return
        # A report must not block: it is dropped if the event buffer is full.
        with suppress(WouldBlock, BrokenResourceError, ClosedResourceError):
            self._events.send_nowait(ToolProgress(self._call_id, progress, total, message))

    def stop(self) -> None:
        """Ignore all further reports."""
        self._events = None


def call_key(call: ToolCall) -> str:
    """Return a key that is equal for calls of a tool with equal arguments."""
    try:
        return json.dumps([call.name, parse_json(call.arguments or "{}")], sort_keys=True)
    except ValueError:
        return json.dumps([call.name, call.arguments])


def failed(call: ToolCall, text: str) -> ToolResult:
    """Return the result of a failed call."""
    return ToolResult(call.id, call.name, (TextPart(text),), is_error=True)


def collect_tools(
    toolsets: Sequence[Toolset],
    client_tools: Sequence[Tool] = (),
    *,
    policy: Sequence[Rule] = (),
) -> tuple[dict[str, Tool], list[str]]:
    """Return the current tools by name, and a message for each hidden duplicate.

    Tools that the policy always denies are left out.

    Raises:
        InvalidRequestError: a client tool has the same name as another tool.
    """
    tools: dict[str, Tool] = {}
    owners: dict[str, str] = {}
    hidden: list[str] = []
    for toolset in toolsets:
        for tool in toolset.tools():
            if is_never_allowed((*policy, *tool.rules), tool.name):
                continue
            if tool.name in tools:
                hidden.append(
                    f"tool {tool.name} of {toolset.name} is hidden: "
                    f"{owners[tool.name]} has a tool of the same name"
                )
                continue
            tools[tool.name] = tool
            owners[tool.name] = toolset.name
    for tool in client_tools:
        if tool.name in tools:
            owner = owners.get(tool.name, "the request")
            raise InvalidRequestError(
                f"duplicate tool name {tool.name!r}: {owner} already has a tool of that name",
                param="tools",
            )
        tools[tool.name] = tool
    return tools, hidden


def _failure(call: ToolCall, tool: Tool, text: str) -> Execution:
    return Execution(failed(call, text), _usage(tool, text))


def _call_failure(call: ToolCall, tool: Tool, text: str) -> Execution:
    """Return the failure of a tool that was called with valid arguments."""
    return Execution(failed(call, text), f"Usage: {signature(tool)}")


def _usage(tool: Tool, text: str) -> str:
    """Return how to call the tool: its signature, and an example unless the text has one."""
    example = None if "for example" in text else tool.example
    shown = "" if example is None else f". For example: {json.dumps(example, ensure_ascii=False)}"
    return f"Usage: {signature(tool)}{shown}"


def _failure_text(call: ToolCall, error: BaseException) -> str:
    if isinstance(error, ToolError | ServerUnavailableError):
        return str(error)
    logger.error("tool %s failed", call.name, exc_info=error)
    return f"failed: {type(error).__name__}: {error}".removesuffix(": ")
