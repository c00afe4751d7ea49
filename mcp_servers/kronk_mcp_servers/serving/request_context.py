"""The context of one request: its state, and access to the client while it is processed."""

from __future__ import annotations

import logging
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import anyio
import mcp.types as t
from mcp import MCPDeprecationWarning, MCPError
from mcp.server import ServerRequestContext
from mcp.server.request_state import authenticated_principal
from mcp.shared.message import ServerMessageMetadata
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from kronk_agent.messages import JsonObject
from kronk_agent.tools.arguments import ArgumentsCheck

logger = logging.getLogger(__name__)

MessageContext: TypeAlias = ServerRequestContext[Any, Any]
Status: TypeAlias = Literal["working", "input_required", "completed", "failed", "cancelled"]

_MAX_ROUNDS = 3
"""Attempts to get a valid answer from the client."""


class RequestContext:
    """Passed to the code that answers a request; lives in a task of the server.

    Before 2026 a client is asked by a request from the server. Since then the response to the
    client's request lists the questions, and the client repeats its request with the answers; the
    work waits here in the meantime.
    """

    def __init__(self, context: MessageContext, answers: Mapping[str, t.InputResponse]) -> None:
        self.id = secrets.token_urlsafe(24)
        self.principal = authenticated_principal(context)
        """The caller, if API keys distinguish callers; others have no access."""
        self.meta: Mapping[str, Any] = context.meta or {}
        self.is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        self.capabilities = context.session.client_capabilities or t.ClientCapabilities()
        self.created = self.updated = datetime.now(UTC)
        self.status_message: str | None = None
        self.result: t.Result | None = None
        self.error: t.ErrorData | None = None
        self.pending: dict[str, t.InputRequest] = {}
        self.scope = anyio.CancelScope()
        self.is_over = False
        self.is_task = False
        self.forgotten = anyio.Event()
        """Set when the result can no longer be requested."""
        self._answers = dict(answers)
        self._num_asked = 0
        self._changed = anyio.Event()
        self._context: MessageContext | None = None

    # --- for the handler --- ---------------------------------------------------------------------

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Report progress if the client asked for it; ``progress`` must increase."""
        self.status_message = message or self.status_message
        self.updated = datetime.now(UTC)
        if self._context is not None:
            await self._context.session.report_progress(progress, total, message)

    async def log(self, level: t.LoggingLevel, text: str) -> None:
        """Send a log message with the answer, to clients that asked for it."""
        if self._context is None or not _wants_log(self._context, level):
            return
        session, request_id = self._context.session, self._context.request_id
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            sending = session.send_log_message(level, text, related_request_id=request_id)
        await sending

    @property
    def request(self) -> MessageContext | None:
        """The message being answered at the moment; None between two messages."""
        return self._context

    @property
    def can_elicit(self) -> bool:
        """True if the client can ask the user to fill in a form."""
        return self._missing_capability(_FORM_REQUEST) is None

    async def elicit(
        self, message: str, schema: JsonObject, *, key: str | None = None
    ) -> t.ElicitResult:
        """Ask the user to fill in a form; an accepted answer is valid for the schema.

        Raises:
            MCPError: the client does not support forms, or its answers are invalid.
        """
        params = t.ElicitRequestFormParams(message=message, requested_schema=schema)
        self._num_asked += 1
        name = key or f"ask-{self._num_asked}"
        answer = (await self.ask({name: t.ElicitRequest(params=params)}))[name]
        assert isinstance(answer, t.ElicitResult)
        return answer

    async def ask(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        """Ask the client several questions at once.

        Raises:
            MCPError: the client lacks a capability, refused, or gave invalid answers.
        """
        for request in requests.values():
            if missing := self._missing_capability(request):
                raise MCPError(
                    t.MISSING_REQUIRED_CLIENT_CAPABILITY,
                    f"this requires client capabilities: {', '.join(missing)}",
                    {"requiredCapabilities": missing},
                )
        answers: dict[str, t.InputResponse] = {}
        problems: dict[str, str | None] = {}
        for _ in range(_MAX_ROUNDS):
            open_ = {key: request for key, request in requests.items() if key not in answers}
            given = await (self._wait_for(open_) if self.is_modern else self._push(open_))
            problems = {key: _problem(requests[key], answer) for key, answer in given.items()}
            answers |= {key: answer for key, answer in given.items() if not problems[key]}
            if len(answers) == len(requests):
                return answers
        details = "; ".join(f"{key}{problem}" for key, problem in problems.items() if problem)
        raise MCPError(t.INVALID_PARAMS, f"invalid answers of the client: {details}")

    # --- for the server --- -------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The task status."""
        if not self.is_over:
            return "input_required" if self.pending else "working"
        if self.result is not None:
            return "completed"
        return "failed" if self.error is not None else "cancelled"

    @contextmanager
    def answering(self, context: MessageContext) -> Iterator[None]:
        """Inside the block the message can be answered: progress goes to its sender."""
        self._context = context
        try:
            yield
        finally:
            if self._context is context:
                self._context = None

    def give(self, answers: Mapping[str, t.InputResponse]) -> None:
        """Accept answers; unexpected ones are ignored."""
        for key in answers.keys() & self.pending.keys():
            self._answers[key] = answers[key]
            del self.pending[key]
        self._notify()

    async def outcome(self) -> None:
        """Wait until the request is finished or needs input."""
        while not self.is_over and not self.pending:
            await self._changed.wait()

    def end(self, result: t.Result | None = None, error: t.ErrorData | None = None) -> None:
        """Finish the request with a result or an error."""
        self.result, self.error, self.is_over = result, error, True
        self.pending.clear()
        self._notify()

    # --- details -----------------------------------------------------------------------------

    def _notify(self) -> None:
        self.updated = datetime.now(UTC)
        self._changed.set()
        self._changed = anyio.Event()

    async def _wait_for(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        answers = {key: self._answers.pop(key) for key in requests if key in self._answers}
        missing = {key: request for key, request in requests.items() if key not in answers}
        self.pending |= missing
        if missing:
            self._notify()
        try:
            while not missing.keys() <= self._answers.keys():
                await self._changed.wait()
        finally:
            for key in missing:
                self.pending.pop(key, None)
        return answers | {key: self._answers.pop(key) for key in missing}

    async def _push(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        context = self._context
        assert context is not None, "before 2026 a call ends with its message"
        answers: dict[str, t.InputResponse] = {}

        async def push(key: str, request: t.InputRequest) -> None:
            """Send one question to the client."""
            answers[key] = await context.session.send_request(
                request,
                answer_type(request),
                metadata=ServerMessageMetadata(related_request_id=context.request_id),
            )

        for key, request in requests.items():  # sequentially: there is one user
            await push(key, request)
        return answers

    def _missing_capability(self, request: t.InputRequest) -> JsonObject | None:
        """Return the capability that the client should have declared; None if present."""
        if not self.is_modern and self._context and not self._context.session.can_send_request:
            return {"sessions": {}}
        match request:
            case t.ElicitRequest(params=t.ElicitRequestURLParams()):
                elicitation = self.capabilities.elicitation
                return None if elicitation and elicitation.url else {"elicitation": {"url": {}}}
            case t.ElicitRequest():
                elicitation = self.capabilities.elicitation
                # An empty capability means forms, for backward compatibility.
                return (
                    None
                    if elicitation and (elicitation.form or not elicitation.url)
                    else {"elicitation": {}}
                )
            case t.CreateMessageRequest():
                return None if self.capabilities.sampling else {"sampling": {}}
            case t.ListRootsRequest():
                return None if self.capabilities.roots else {"roots": {}}

    @cached_property
    def extensions(self) -> frozenset[str]:
        """The protocol extensions that the client supports."""
        return frozenset(self.capabilities.extensions or ())


def _wants_log(context: MessageContext, level: t.LoggingLevel) -> bool:
    """True if the client wants this log level. Since 2026 the SDK checks that itself."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return True
    lowest: t.LoggingLevel = context.lifespan_context.listeners.log_level(context)
    levels = get_args(t.LoggingLevel)
    return levels.index(level) >= levels.index(lowest)


_FORM_REQUEST = t.ElicitRequest(
    params=t.ElicitRequestFormParams(message="", requested_schema={"type": "object"})
)


def answer_type(request: t.InputRequest) -> type[t.InputResponse]:
    """Return the type of the answer to a question."""
    match request:
        case t.ElicitRequest():
            return t.ElicitResult
        case t.CreateMessageRequest():
            return t.CreateMessageResultWithTools if request.params.tools else t.CreateMessageResult
        case t.ListRootsRequest():
            return t.ListRootsResult


def _problem(request: t.InputRequest, answer: t.InputResponse) -> str | None:
    """Return why the answer is invalid for the question; None if valid."""
    if not isinstance(answer, answer_type(request)):
        return " has an answer of the wrong type"
    if not isinstance(request, t.ElicitRequest) or not isinstance(answer, t.ElicitResult):
        return None
    params = request.params
    if answer.action != "accept" or not isinstance(params, t.ElicitRequestFormParams):
        return None
    content: JsonObject = {**(answer.content or {})}  # type: ignore[dict-item]  # list is invariant
    return ArgumentsCheck(dict(params.requested_schema)).problem(content)
