"""One request that is being answered, and what its answer may need of the client meanwhile."""

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

Context: TypeAlias = ServerRequestContext[Any, Any]
Status: TypeAlias = Literal["working", "input_required", "completed", "failed", "cancelled"]

_MAX_ROUNDS = 3
"""How often the client is asked again when its answer does not fit."""


class Call:
    """Given to whatever answers a request; lives in a task of the server's own.

    Before 2026 a client is asked by a request of ours. Since then the answer to its request says
    what is needed, and it makes its request again with that: the work waits here meanwhile.
    """

    def __init__(self, context: Context, answers: Mapping[str, t.InputResponse]) -> None:
        self.id = secrets.token_urlsafe(24)
        self.principal = authenticated_principal(context)
        """Who made the request, where keys tell callers apart; nobody else may touch it."""
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
        """Nobody can ask for the result any more."""
        self._answers = dict(answers)
        self._num_asked = 0
        self._news = anyio.Event()
        self._context: Context | None = None

    # --- for the work ------------------------------------------------------------------------

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell the client how far it is, if it wants to know; ``progress`` must grow."""
        self.status_message = message or self.status_message
        self.updated = datetime.now(UTC)
        if self._context is not None:
            await self._context.session.report_progress(progress, total, message)

    async def log(self, level: t.LoggingLevel, text: str) -> None:
        """Send a line of log along with the answer, to clients that asked for such."""
        if self._context is None or not _wants_log(self._context, level):
            return
        session, request_id = self._context.session, self._context.request_id
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            sending = session.send_log_message(level, text, related_request_id=request_id)
        await sending

    @property
    def request(self) -> Context | None:
        """The message that is being answered right now; None between two of them."""
        return self._context

    @property
    def can_elicit(self) -> bool:
        """May the person be asked to fill in a form?"""
        return self._lacking(_FORM_REQUEST) is None

    async def elicit(
        self, message: str, schema: JsonObject, *, key: str | None = None
    ) -> t.ElicitResult:
        """Have the person fill in a form; an accepted answer is valid under the schema.

        Raises:
            MCPError: the client cannot, or its answers do not fit.
        """
        params = t.ElicitRequestFormParams(message=message, requested_schema=schema)
        self._num_asked += 1
        name = key or f"ask-{self._num_asked}"
        answer = (await self.ask({name: t.ElicitRequest(params=params)}))[name]
        assert isinstance(answer, t.ElicitResult)
        return answer

    async def ask(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        """Ask the client for several things at once.

        Raises:
            MCPError: it did not declare that it can do that, refused, or its answers do not fit.
        """
        for request in requests.values():
            if lacking := self._lacking(request):
                raise MCPError(
                    t.MISSING_REQUIRED_CLIENT_CAPABILITY,
                    f"this needs a client that can do {', '.join(lacking)}",
                    {"requiredCapabilities": lacking},
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
        words = "; ".join(f"{key}{problem}" for key, problem in problems.items() if problem)
        raise MCPError(t.INVALID_PARAMS, f"the client's answers do not fit: {words}")

    # --- for whoever keeps it ----------------------------------------------------------------

    @property
    def status(self) -> Status:
        if not self.is_over:
            return "input_required" if self.pending else "working"
        if self.result is not None:
            return "completed"
        return "failed" if self.error is not None else "cancelled"

    @contextmanager
    def answering(self, context: Context) -> Iterator[None]:
        """Inside the block the message can be answered: progress goes to its sender."""
        self._context = context
        try:
            yield
        finally:
            if self._context is context:
                self._context = None

    def give(self, answers: Mapping[str, t.InputResponse]) -> None:
        """Take in answers; those nobody waits for are ignored."""
        for key in answers.keys() & self.pending.keys():
            self._answers[key] = answers[key]
            del self.pending[key]
        self._tell()

    async def outcome(self) -> None:
        """Wait until it is over or wants something."""
        while not self.is_over and not self.pending:
            await self._news.wait()

    def end(self, result: t.Result | None = None, error: t.ErrorData | None = None) -> None:
        self.result, self.error, self.is_over = result, error, True
        self.pending.clear()
        self._tell()

    # --- details -----------------------------------------------------------------------------

    def _tell(self) -> None:
        self.updated = datetime.now(UTC)
        self._news.set()
        self._news = anyio.Event()

    async def _wait_for(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        answers = {key: self._answers.pop(key) for key in requests if key in self._answers}
        missing = {key: request for key, request in requests.items() if key not in answers}
        self.pending |= missing
        if missing:
            self._tell()
        try:
            while not missing.keys() <= self._answers.keys():
                await self._news.wait()
        finally:
            for key in missing:
                self.pending.pop(key, None)
        return answers | {key: self._answers.pop(key) for key in missing}

    async def _push(self, requests: Mapping[str, t.InputRequest]) -> dict[str, t.InputResponse]:
        context = self._context
        assert context is not None, "before 2026 a call ends with the message that made it"
        answers: dict[str, t.InputResponse] = {}

        async def push(key: str, request: t.InputRequest) -> None:
            answers[key] = await context.session.send_request(
                request,
                answer_type(request),
                metadata=ServerMessageMetadata(related_request_id=context.request_id),
            )

        for key, request in requests.items():  # one after the other: there is one person
            await push(key, request)
        return answers

    def _lacking(self, request: t.InputRequest) -> JsonObject | None:
        """The capability that the client did not declare, as it would have to."""
        if not self.is_modern and self._context and not self._context.session.can_send_request:
            return {"sessions": {}}
        match request:
            case t.ElicitRequest(params=t.ElicitRequestURLParams()):
                ours = self.capabilities.elicitation
                return None if ours and ours.url else {"elicitation": {"url": {}}}
            case t.ElicitRequest():
                ours = self.capabilities.elicitation
                # An empty capability means forms: it is older than the others.
                return None if ours and (ours.form or not ours.url) else {"elicitation": {}}
            case t.CreateMessageRequest():
                return None if self.capabilities.sampling else {"sampling": {}}
            case t.ListRootsRequest():
                return None if self.capabilities.roots else {"roots": {}}

    @cached_property
    def extensions(self) -> frozenset[str]:
        """The extensions of the protocol that the client knows."""
        return frozenset(self.capabilities.extensions or ())


def _wants_log(context: Context, level: t.LoggingLevel) -> bool:
    """Since 2026 each request says what it wants, and the SDK sees to that."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return True
    lowest: t.LoggingLevel = context.lifespan_context.listeners.log_level(context)
    levels = get_args(t.LoggingLevel)
    return levels.index(level) >= levels.index(lowest)


_FORM_REQUEST = t.ElicitRequest(
    params=t.ElicitRequestFormParams(message="", requested_schema={"type": "object"})
)


def answer_type(request: t.InputRequest) -> type[t.InputResponse]:
    """What kind of answer the request wants."""
    match request:
        case t.ElicitRequest():
            return t.ElicitResult
        case t.CreateMessageRequest():
            return t.CreateMessageResultWithTools if request.params.tools else t.CreateMessageResult
        case t.ListRootsRequest():
            return t.ListRootsResult


def _problem(request: t.InputRequest, answer: t.InputResponse) -> str | None:
    """Why this is no answer to that; None where it is one."""
    if not isinstance(answer, answer_type(request)):
        return ": that answers another kind of question"
    if not isinstance(request, t.ElicitRequest) or not isinstance(answer, t.ElicitResult):
        return None
    params = request.params
    if answer.action != "accept" or not isinstance(params, t.ElicitRequestFormParams):
        return None
    content: JsonObject = {**(answer.content or {})}  # type: ignore[dict-item]  # list is invariant
    return ArgumentsCheck(dict(params.requested_schema)).problem(content)
