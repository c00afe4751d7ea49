"""The life of one registered server: started, kept, and started again when it ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.mcp_server import Transport
from kronk_agent.errors import ServerUnavailableError, ToolError
from kronk_agent.host.client_features.user import ToolApproval, UserInteraction
from kronk_agent.host.diagnostics.errors import SessionExpiredError, StartError
from kronk_agent.host.diagnostics.log import ServerLog
from kronk_agent.host.results.result_store import ResultStore
from kronk_agent.host.results.structured import violation
from kronk_agent.host.session.call_timeouts import CallTimeouts
from kronk_agent.host.tools.allowed import offered
from kronk_agent.host.tools.definitions import ToolDefinition, to_tools, usable
from kronk_agent.host.tools.injection_scan import suspicious_signs
from kronk_agent.host.tools.pinning import PinnedTools, warnings
from kronk_agent.host.tools.server_instructions import quoted_instructions
from kronk_agent.host.tools.tool_cache import CachedTools, ToolCache
from kronk_agent.host.transport.connection_state import ConnectionState
from kronk_agent.messages import JsonObject
from kronk_agent.tools import Tool, ToolContext, ToolOutput
from kronk_agent.tools.policy import permission, rules_about, rules_in

if TYPE_CHECKING:  # the SDK takes 0.7 s to import: it is when a server is first connected to
    import httpx2

    from kronk_agent.host.client_features.sampling import GetModel
    from kronk_agent.host.results.content import ReadDocument
    from kronk_agent.host.session.connection import Connection, Mode

logger = logging.getLogger(__name__)

ServerState: TypeAlias = Literal["disabled", "starting", "ready", "failed"]

_Answer = TypeVar("_Answer")

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
STABLE_SECONDS = 30.0
"""A server that stayed this long is started again without the delays of its earlier failures."""
LOOK_SECONDS = 2.0
"""Between two looks at the size of its log."""

_NOT_STREAMABLE = {400, 404, 405, 406, 415}
"""How a server of before 2025, which knows only SSE, may refuse a POST."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a registered server is."""

    name: str
    state: ServerState
    num_tools: int
    error: str | None = None
    """Why it failed, and what would help; it is still tried again from time to time."""
    quarantined: tuple[str, ...] = ()
    """Its tools that changed since they were seen first, until the person approves them."""


Authenticate: TypeAlias = "Callable[[str, McpServerConfig], Awaitable[httpx2.Auth | None]]"
"""How requests to the remote server of that name are signed; ``ServerUnavailableError`` if they
cannot be."""


@dataclass(frozen=True, slots=True)
class HostServices:
    """What servers are given to work with."""

    outputs: ResultStore
    get_model: GetModel | None = None
    """For what servers ask of our model."""
    person: UserInteraction | None = None
    """For what servers ask of the person."""
    authenticate: Authenticate | None = None
    """Signs requests to remote servers."""
    read_document: ReadDocument | None = None
    """Gives the text of documents that come as bytes."""
    on_tools_changed: Callable[[], None] = lambda: None
    """Called when a server's tools may be others than before."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a server is spoken to."""

    mode: Mode
    transport: Transport


class McpServer:
    """One registered server and its tools, as a toolset.

    ``run`` is the one task that enters and leaves connections; calls come from any task. While a
    server is started, for the first time or again, its known tools are there, and calls wait.
    """

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        *,
        log_path: Path,
        memory: ToolCache,
        pins: PinnedTools,
        surroundings: HostServices,
    ) -> None:
        self._name = name
        self._config = config
        self._log = ServerLog(log_path)
        self._memory = memory
        self._pins = pins
        self._surroundings = surroundings
        self._timeouts = CallTimeouts(config.timeout)
        self._way = _Way(config.protocol, config.transport)
        self._connection: Connection | None = None
        self._definitions: list[ToolDefinition] = []
        self._tools: tuple[Tool, ...] = ()
        self._quarantined: tuple[str, ...] = ()
        self._instructions = ""
        self._has_resources = False
        self._error: str | None = None
        self._settled = anyio.Event()
        if config.problem is not None:
            self._error = f"MCP server {name!r} is not started: {config.problem}"
            self._settled.set()
        self._is_stopping = False
        self._run_scope: anyio.CancelScope | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_required(self) -> bool:
        return self._config.required and not self._config.disabled

    @property
    def _may_start(self) -> bool:
        return not self._config.disabled and self._config.problem is None

    @property
    def state(self) -> ServerState:
        if self._config.disabled:
            return "disabled"
        if self._connection is not None:
            return "ready"
        return "starting" if self._error is None else "failed"

    def tools(self) -> Sequence[Tool]:
        return self._tools

    @property
    def instructions(self) -> str:
        """What the server says of its tools, marked as words from outside; empty for nothing."""
        return quoted_instructions(
            self._name,
            self._config.prefix or self._name,
            self._instructions,
            self._config.max_instructions_tokens,
        )

    def status(self) -> ServerStatus:
        return ServerStatus(
            self._name, self.state, len(self._tools), self._error, quarantined=self._quarantined
        )

    async def wait_ready(self) -> None:
        """Wait until the server is ready or has failed; at most its ``startup_timeout``."""
        if not self._config.disabled:
            await self._settled.wait()

    # --- the owner task ----------------------------------------------------------------------

    def load(self) -> None:
        """Offer the tools the server had last time, before it is started."""
        if not self._may_start:
            return
        remembered = self._memory.load()
        if self._config.protocol == "auto":
            self._way = replace(self._way, mode=remembered.mode)
        self._definitions = list(remembered.definitions)
        self._instructions = remembered.instructions
        self._offer_tools()

    async def run(self) -> None:
        """Keep the server running until ``stop``, waiting longer after each failure."""
        if not self._may_start:
            return
        delay = FIRST_DELAY_SECONDS
        try:
            with anyio.CancelScope() as self._run_scope:
                await to_thread.run_sync(_import_sdk)
                while not self._is_stopping:
                    started = anyio.current_time()
                    await self._live()
                    if anyio.current_time() - started > STABLE_SECONDS:
                        delay = FIRST_DELAY_SECONDS
                    if not self._is_stopping:
                        await anyio.sleep(delay)
                    delay = min(delay * 2, LONGEST_DELAY_SECONDS)
        finally:
            self._fail(self._error or f"MCP server {self._name!r} was closed")

    def stop(self) -> None:
        """Make ``run`` end: politely where there is a connection to close, at once where not."""
        self._is_stopping = True
        if self._connection is not None:
            self._connection.connection_state.lost.set()
        elif self._run_scope is not None:
            self._run_scope.cancel()

    async def _live(self) -> None:
        """From one start of the server to its end, by another way where the first is refused."""
        deadline = anyio.current_time() + self._config.startup_timeout
        ways = [self._way]
        words = ""
        for way in ways:
            try:
                await self._attempt(way, deadline)
                return
            except StartError as error:
                if way.transport == self._config.transport:  # the rest was only worth a try
                    words = str(error)
                if (other := self._other_way(way, error)) and other not in ways:
                    ways.append(other)
        self._fail(words)

    def _other_way(self, way: _Way, error: StartError) -> _Way | None:
        is_open = self._config.type is None and way.transport == "http"
        if is_open and error.http_status in _NOT_STREAMABLE:
            return _Way("legacy", "sse")
        if self._config.protocol != "auto":
            return None
        if way.mode == "legacy":
            return replace(way, mode="auto")  # it was remembered, and is a newer server now
        # Some old servers exit when asked for their protocol, so it is not asked.
        return replace(way, mode="legacy") if error.is_early_exit else None

    async def _attempt(self, way: _Way, deadline: float) -> None:
        """Connect, list the tools, and stay until the connection is lost.

        Raises:
            StartError: it did not get as far as listing the tools.
        """
        from kronk_agent.host.client_features.callbacks import ClientCallbacks
        from kronk_agent.host.session.connection import connect  # heavy, like the next two
        from kronk_agent.host.transport.server_transport import ServerTransport

        auth = await self._authentication()
        wire = ServerTransport(
            self._name, self._config, transport=way.transport, log=self._log, auth=auth
        )
        requests = ClientCallbacks(
            self._name,
            self._config,
            get_model=self._surroundings.get_model,
            person=self._surroundings.person,
            timeouts=self._timeouts,
            log=self._log,
        )
        failure: StartError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._limit_start, deadline, wire.connection_state, tasks.cancel_scope)
            try:
                async with connect(
                    self._name,
                    self._config,
                    wire,
                    way.mode,
                    requests,
                    self._surroundings.read_document,
                ) as found:
                    await self._take_tools(await found.list_tools())
                    self._become_ready(found, way)
                    await self._stay(found)
            except StartError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _authentication(self) -> httpx2.Auth | None:
        authenticate = self._surroundings.authenticate
        if self._config.url is None or authenticate is None:
            return None
        try:
            return await authenticate(self._name, self._config)
        except ServerUnavailableError as error:
            raise StartError(f"MCP server {self._name!r} {error}") from error

    async def _limit_start(
        self, deadline: float, connection_state: ConnectionState, attempt: anyio.CancelScope
    ) -> None:
        from kronk_agent.host.diagnostics.failures import late_start  # heavy

        await anyio.sleep_until(deadline)
        if not connection_state.was_ready:
            # Said before the program is closed, which takes seconds when it hangs.
            self._fail(late_start(self._name, self._config, connection_state, self._log))
            attempt.cancel()

    async def _stay(self, connection: Connection) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.follow_changes, partial(self._relist, connection))
            tasks.start_soon(self._tend_log)
            if connection.has_resources:
                tasks.start_soon(self._look_for_resources, connection)
            try:
                await connection.connection_state.lost.wait()
            finally:
                self._lose()  # at once: closing a program may take seconds
            tasks.cancel_scope.cancel()

    async def _look_for_resources(self, connection: Connection) -> None:
        with suppress(ToolError):
            self._has_resources = bool(
                await connection.list_resources() or await connection.list_resource_templates()
            )

    async def _tend_log(self) -> None:
        while True:
            await anyio.sleep(LOOK_SECONDS)
            self._log.keep_small()

    def _become_ready(self, connection: Connection, way: _Way) -> None:
        connection.connection_state.was_ready = True
        self._connection, self._error = connection, None
        # So that it need not be asked after a restart.
        self._way = way if connection.is_modern else replace(way, mode="legacy")
        self._take_instructions(connection.instructions)
        self._remember()
        self._settled.set()

    def _take_instructions(self, said: str) -> None:
        if said != self._instructions and not self._config.trust:
            for sign in suspicious_signs([said]):
                logger.warning("MCP server %r: what it says of its tools %s", self._name, sign)
        self._instructions = said

    def _remember(self) -> None:
        mode: Literal["auto", "legacy"] = "legacy" if self._way.mode == "legacy" else "auto"
        self._memory.keep(CachedTools(mode, tuple(self._definitions), self._instructions))

    def _fail(self, error: str) -> None:
        self._error, self._definitions, self._tools, self._quarantined = error, [], (), ()
        self._surroundings.on_tools_changed()
        self._settled.set()

    def _lose(self) -> None:
        """Have calls wait for the next connection; those that wait already go on doing so."""
        if self._connection is not None:
            self._connection = None
            self._settled = anyio.Event()

    async def _take_tools(self, listed: Sequence[ToolDefinition]) -> None:
        known = {definition.digest for definition in self._definitions}
        if [d.digest for d in listed] != [d.digest for d in self._definitions]:
            # Those that are new are looked at in a thread: it takes about 2 ms each.
            new = [definition for definition in listed if definition.digest not in known]
            good = {d.digest for d in await to_thread.run_sync(usable, self._name, new)} | known
            self._definitions = [d for d in listed if d.digest in good]
            self._offer_tools()

    def _offer_tools(self) -> None:
        """Those that the configuration allows and that are as they were when they were pinned."""
        review = self._pins.review(offered(self._config, self._definitions))
        prefix = self._config.prefix or self._name
        rules = rules_in(self._config.policy)
        self._tools = to_tools(
            prefix,
            review.allowed,
            self._call,
            rules=partial(rules_about, rules),
            folders=self._folders,
        )
        self._quarantined = tuple(change.now.name for change in review.changes)
        self._surroundings.on_tools_changed()
        for line in warnings(self._name, review):
            logger.warning("%s", line)

    async def _relist(self, connection: Connection) -> None:
        try:
            with anyio.fail_after(self._config.startup_timeout):
                await self._take_tools(await connection.list_tools_again())
            self._remember()
        except (ToolError, TimeoutError) as error:
            logger.warning("the tools of MCP server %r stay as they were: %s", self._name, error)

    # --- calls -------------------------------------------------------------------------------

    async def _call(self, tool: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        await self._ask_leave(tool, arguments, context)
        with self._timeouts.call() as scope:

            async def on_progress(
                progress: float, total: float | None, message: str | None
            ) -> None:
                self._timeouts.renew(scope)
                context.report_progress(progress, total, message)

            output = await self._in_session(
                lambda connection: connection.call_tool(tool, arguments, on_progress)
            )
            return self._cut(self._as_promised(tool, output))
        raise self._too_late()

    async def _in_session(self, request: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        """Make a request, and once more in a new session where the server forgot the first."""
        connection = await self._connected()
        try:
            return await request(connection)
        except SessionExpiredError:
            if connection is self._connection:
                self._lose()  # its owner is about to notice, and nobody may use it until then
        try:
            return await request(await self._connected())
        except SessionExpiredError as error:
            raise ToolError(str(error)) from error

    async def _ask_leave(self, tool: str, arguments: JsonObject, context: ToolContext) -> None:
        """Ask the person, where the policy says so and whoever calls has not seen to it."""
        said = permission(
            rules_in(self._config.policy),
            tool,
            arguments,
            schema=self._schema_of(tool),
            folders=self._folders,
        )
        if context.is_approved or said == "allow":
            return
        person = self._surroundings.person
        use = ToolApproval(self._name, tool, arguments)
        if said == "deny" or person is None or not await person.approve_tool_call(use):
            who = "the policy does not allow" if said == "deny" else "the user did not agree to"
            raise ToolError(f"{who} this call of {tool}: do without it")

    def _schema_of(self, tool: str) -> JsonObject | None:
        found = (each.input_schema for each in self._definitions if each.name == tool)
        return next(found, None)

    @property
    def _folders(self) -> tuple[Path, ...]:
        """Where relative paths in arguments begin, as far as is known."""
        config = self._config
        if config.roots or config.url is not None:
            return config.roots
        return (config.cwd or Path.cwd(),)

    def _as_promised(self, tool: str, output: ToolOutput) -> ToolOutput:
        """The output without structured content that breaks the tool's schema; its text stays."""
        schemas = (each.output_schema for each in self._definitions if each.name == tool)
        schema = next(schemas, None)
        if schema is None or output.structured is None or output.is_error:
            return output
        broken = violation(output.structured, schema)
        if broken is None:
            return output
        words = "MCP server %r: the structured content of %s breaks its schema at %s"
        logger.warning(words, self._name, tool, broken)
        return replace(output, structured=None)

    def _cut(self, output: ToolOutput) -> ToolOutput:
        limit = self._config.max_output_tokens
        return self._surroundings.outputs.cut(self._name, output, limit) if limit else output

    @property
    def may_have_resources(self) -> bool:
        """It says so; many say so that have none."""
        return self._connection is not None and self._connection.has_resources

    @property
    def has_resources(self) -> bool:
        """It had some when it was last looked at, which is soon after it is ready."""
        return self._has_resources and self._connection is not None

    @property
    def has_prompts(self) -> bool:
        return self._connection is not None and self._connection.has_prompts

    async def ask(self, request: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        """Make a request other than a call, within the time a call has.

        Raises:
            ToolError: the server is down, refused, or answered with something broken or not at all.
        """
        with self._timeouts.call():
            return await self._in_session(request)
        raise self._too_late()

    @asynccontextmanager
    async def watch_resource(self, uri: str) -> AsyncGenerator[AsyncIterator[None], None]:
        """Gives an item each time the resource changed, until the connection ends."""
        async with (await self._connected()).watch_resource(uri) as changes:
            yield changes

    def _too_late(self) -> ToolError:
        return ToolError(
            f"MCP server {self._name!r} gave no answer and no progress within "
            f"{self._config.timeout:g} s: "
            f"ask for less, or raise mcp_servers.{self._name}.timeout"
        )

    async def _connected(self) -> Connection:
        await self._settled.wait()
        if self._connection is None:
            raise ToolError(self._error or f"MCP server {self._name!r} was lost again")
        return self._connection


def _import_sdk() -> None:
    import kronk_agent.host.session.connection  # noqa: F401
