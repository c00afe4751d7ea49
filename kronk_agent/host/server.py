"""Supervision of one registered server: start, reconnect, expose its tools and route calls."""

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
from kronk_agent.host.tools.allowed import allowed_definitions
from kronk_agent.host.tools.definitions import ToolDefinition, to_tools, usable_definitions
from kronk_agent.host.tools.injection_scan import scan_texts
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
"""Uptime after which a server that ends is restarted without the backoff of earlier failures."""
LOG_CHECK_SECONDS = 2.0
"""Interval between checks of the log file's size."""

_NOT_STREAMABLE = {400, 404, 405, 406, 415}
"""HTTP statuses with which an SSE-only server (before 2025) may reject a POST."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Status of a registered server."""

    name: str
    state: ServerState
    num_tools: int
    error: str | None = None
    """Why the server failed and how to fix it; it is still retried in the background."""
    quarantined: tuple[str, ...] = ()
    """Tools that changed since they were pinned and are hidden until the user approves them."""


Authenticate: TypeAlias = "Callable[[str, McpServerConfig], Awaitable[httpx2.Auth | None]]"
"""Creates the authentication for the remote server of that name; raises ``ServerUnavailableError``
if it cannot."""


@dataclass(frozen=True, slots=True)
class HostServices:
    """Dependencies that all servers of a host share."""

    outputs: ResultStore
    get_model: GetModel | None = None
    """Answers sampling requests of servers; None: sampling is not offered."""
    person: UserInteraction | None = None
    """Answers elicitations and approval requests; None: no user can be asked."""
    authenticate: Authenticate | None = None
    """Creates the authentication for remote servers."""
    read_document: ReadDocument | None = None
    """Extracts the text of binary documents."""
    on_tools_changed: Callable[[], None] = lambda: None
    """Called when a server's tool list may have changed."""


@dataclass(frozen=True, slots=True)
class _ConnectOptions:
    """Protocol mode and transport used for a connection."""

    mode: Mode
    transport: Transport


class McpServer:
    """One registered server, as a toolset.

    ``run`` is the only task that opens and closes connections; calls may come from any task. While
    the server connects or reconnects, its cached tools are offered, and calls wait for the
    connection.
    """

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        *,
        log_path: Path,
        tool_cache: ToolCache,
        pins: PinnedTools,
        services: HostServices,
    ) -> None:
        self._name = name
        self._config = config
        self._log = ServerLog(log_path)
        self._tool_cache = tool_cache
        self._pins = pins
        self._services = services
        self._timeouts = CallTimeouts(config.timeout)
        self._options = _ConnectOptions(config.protocol, config.transport)
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
        """Name the server is registered under."""
        return self._name

    @property
    def is_required(self) -> bool:
        """True if runs must not start without this server."""
        return self._config.required and not self._config.disabled

    @property
    def _may_start(self) -> bool:
        return not self._config.disabled and self._config.problem is None

    @property
    def state(self) -> ServerState:
        """Current state; a failed server is retried in the background."""
        if self._config.disabled:
            return "disabled"
        if self._connection is not None:
            return "ready"
        return "starting" if self._error is None else "failed"

    def tools(self) -> Sequence[Tool]:
        """Return the tools currently offered."""
        return self._tools

    @property
    def instructions(self) -> str:
        """The server's ``instructions``, quoted and marked as untrusted; empty if it has none."""
        return quoted_instructions(
            self._name,
            self._config.prefix or self._name,
            self._instructions,
            self._config.max_instructions_tokens,
        )

    def status(self) -> ServerStatus:
        """Return a snapshot of the server's status."""
        return ServerStatus(
            self._name, self.state, len(self._tools), self._error, quarantined=self._quarantined
        )

    async def wait_ready(self) -> None:
        """Wait until the server is ready or has failed; at most its ``startup_timeout``."""
        if not self._config.disabled:
            await self._settled.wait()

    # --- the owner task ----------------------------------------------------------------------

    def load(self) -> None:
        """Offer the cached tools of the last connection before the server is started."""
        if not self._may_start:
            return
        cached = self._tool_cache.load()
        if self._config.protocol == "auto":
            self._options = replace(self._options, mode=cached.mode)
        self._definitions = list(cached.definitions)
        self._instructions = cached.instructions
        self._offer_tools()

    async def run(self) -> None:
        """Keep the server connected until ``stop``, with exponential backoff after failures."""
        if not self._may_start:
            return
        delay = FIRST_DELAY_SECONDS
        try:
            with anyio.CancelScope() as self._run_scope:
                await to_thread.run_sync(_import_sdk)
                while not self._is_stopping:
                    started = anyio.current_time()
                    await self._run_connection()
                    if anyio.current_time() - started > STABLE_SECONDS:
                        delay = FIRST_DELAY_SECONDS
                    if not self._is_stopping:
                        await anyio.sleep(delay)
                    delay = min(delay * 2, LONGEST_DELAY_SECONDS)
        finally:
            self._fail(self._error or f"MCP server {self._name!r} was closed")

    def stop(self) -> None:
        """Make ``run`` end: close an open connection gracefully, cancel a pending start."""
        self._is_stopping = True
        if self._connection is not None:
            self._connection.connection_state.lost.set()
        elif self._run_scope is not None:
            self._run_scope.cancel()

    async def _run_connection(self) -> None:
        """Run the server from start to disconnect, with fallback connection options on failure."""
        deadline = anyio.current_time() + self._config.startup_timeout
        candidates = [self._options]
        message = ""
        for options in candidates:
            try:
                await self._connect_and_serve(options, deadline)
                return
            except StartError as error:
                if options.transport == self._config.transport:  # not the error of a fallback
                    message = str(error)
                if (fallback := self._fallback(options, error)) and fallback not in candidates:
                    candidates.append(fallback)
        self._fail(message)

    def _fallback(self, options: _ConnectOptions, error: StartError) -> _ConnectOptions | None:
        is_open = self._config.type is None and options.transport == "http"
        if is_open and error.http_status in _NOT_STREAMABLE:
            return _ConnectOptions("legacy", "sse")
        if self._config.protocol != "auto":
            return None
        if options.mode == "legacy":
            return replace(options, mode="auto")  # cached; the server was upgraded since
        # Some old servers exit on `server/discover`, so it is skipped.
        return replace(options, mode="legacy") if error.is_early_exit else None

    async def _connect_and_serve(self, options: _ConnectOptions, deadline: float) -> None:
        """Connect, list the tools and serve until the connection is lost.

        Raises:
            StartError: the connection failed before the tools were listed.
        """
        from kronk_agent.host.client_features.callbacks import ClientCallbacks
        from kronk_agent.host.session.connection import connect  # heavy, like the next two
        from kronk_agent.host.transport.server_transport import ServerTransport

        auth = await self._authentication()
        transport = ServerTransport(
            self._name, self._config, transport=options.transport, log=self._log, auth=auth
        )
        callbacks = ClientCallbacks(
            self._name,
            self._config,
            get_model=self._services.get_model,
            person=self._services.person,
            timeouts=self._timeouts,
            log=self._log,
        )
        failure: StartError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                self._limit_start, deadline, transport.connection_state, tasks.cancel_scope
            )
            try:
                async with connect(
                    self._name,
                    self._config,
                    transport,
                    options.mode,
                    callbacks,
                    self._services.read_document,
                ) as connection:
                    await self._update_tools(await connection.list_tools())
                    self._mark_ready(connection, options)
                    await self._serve(connection)
            except StartError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _authentication(self) -> httpx2.Auth | None:
        authenticate = self._services.authenticate
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
            # Reported before the program is closed, which takes seconds when it hangs.
            self._fail(late_start(self._name, self._config, connection_state, self._log))
            attempt.cancel()

    async def _serve(self, connection: Connection) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.follow_changes, partial(self._relist, connection))
            tasks.start_soon(self._rotate_log)
            if connection.has_resources:
                tasks.start_soon(self._check_resources, connection)
            try:
                await connection.connection_state.lost.wait()
            finally:
                self._disconnect()  # at once, since closing a program may take seconds
            tasks.cancel_scope.cancel()

    async def _check_resources(self, connection: Connection) -> None:
        with suppress(ToolError):
            self._has_resources = bool(
                await connection.list_resources() or await connection.list_resource_templates()
            )

    async def _rotate_log(self) -> None:
        while True:
            await anyio.sleep(LOG_CHECK_SECONDS)
            self._log.rotate_if_full()

    def _mark_ready(self, connection: Connection, options: _ConnectOptions) -> None:
        connection.connection_state.was_ready = True
        self._connection, self._error = connection, None
        # Saves the discovery request after a restart.
        self._options = options if connection.is_modern else replace(options, mode="legacy")
        self._update_instructions(connection.instructions)
        self._save_cache()
        self._settled.set()

    def _update_instructions(self, instructions: str) -> None:
        if instructions != self._instructions and not self._config.trust:
            for sign in scan_texts([instructions]):
                logger.warning("MCP server %r: suspicious instructions: %s", self._name, sign)
        self._instructions = instructions

    def _save_cache(self) -> None:
        mode: Literal["auto", "legacy"] = "legacy" if self._options.mode == "legacy" else "auto"
        self._tool_cache.save(CachedTools(mode, tuple(self._definitions), self._instructions))

    def _fail(self, error: str) -> None:
        self._error, self._definitions, self._tools, self._quarantined = error, [], (), ()
        self._services.on_tools_changed()
        self._settled.set()

    def _disconnect(self) -> None:
        """Make new calls wait for the next connection; calls that already wait keep waiting."""
        if self._connection is not None:
            self._connection = None
            self._settled = anyio.Event()

    async def _update_tools(self, listed: Sequence[ToolDefinition]) -> None:
        known = {definition.digest for definition in self._definitions}
        if [d.digest for d in listed] != [d.digest for d in self._definitions]:
            # Checking a new definition takes about 2 ms, so it is done in a thread.
            new = [definition for definition in listed if definition.digest not in known]
            good = {
                d.digest for d in await to_thread.run_sync(usable_definitions, self._name, new)
            } | known
            self._definitions = [d for d in listed if d.digest in good]
            self._offer_tools()

    def _offer_tools(self) -> None:
        """Offer the tools that the configuration allows and that match their pins."""
        review = self._pins.review(allowed_definitions(self._config, self._definitions))
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
        self._services.on_tools_changed()
        for line in warnings(self._name, review):
            logger.warning("%s", line)

    async def _relist(self, connection: Connection) -> None:
        try:
            with anyio.fail_after(self._config.startup_timeout):
                await self._update_tools(await connection.relist_tools())
            self._save_cache()
        except (ToolError, TimeoutError) as error:
            logger.warning(
                "cannot refresh the tools of MCP server %r; keeping the old ones: %s",
                self._name,
                error,
            )

    # --- calls -------------------------------------------------------------------------------

    async def _call(self, tool: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        await self._authorize(tool, arguments, context)
        with self._timeouts.call() as scope:

            async def on_progress(
                progress: float, total: float | None, message: str | None
            ) -> None:
                """Renew the timeout and report the progress to the caller."""
                self._timeouts.renew(scope)
                context.report_progress(progress, total, message)

            output = await self._in_session(
                lambda connection: connection.call_tool(tool, arguments, on_progress)
            )
            return self._truncate(self._without_invalid_structure(tool, output))
        raise self._timeout_error()

    async def _in_session(self, request: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        """Perform a request, retried once in a new session if the server forgot the old one."""
        connection = await self._connected()
        try:
            return await request(connection)
        except SessionExpiredError:
            if connection is self._connection:
                self._disconnect()  # `run` will notice; until then no call may use it
        try:
            return await request(await self._connected())
        except SessionExpiredError as error:
            raise ToolError(str(error)) from error

    async def _authorize(self, tool: str, arguments: JsonObject, context: ToolContext) -> None:
        """Ask the user for approval if the policy says so and the caller has not done it yet.

        Raises:
            ToolError: the policy denies the call, or the user does not approve it.
        """
        decision = permission(
            rules_in(self._config.policy),
            tool,
            arguments,
            schema=self._schema_of(tool),
            folders=self._folders,
        )
        if context.is_approved or decision == "allow":
            return
        person = self._services.person
        approval = ToolApproval(self._name, tool, arguments)
        if decision == "deny" or person is None or not await person.approve_tool_call(approval):
            who = "the policy does not allow" if decision == "deny" else "the user did not agree to"
            raise ToolError(f"{who} this call of {tool}: do without it")

    def _schema_of(self, tool: str) -> JsonObject | None:
        schemas = (each.input_schema for each in self._definitions if each.name == tool)
        return next(schemas, None)

    @property
    def _folders(self) -> tuple[Path, ...]:
        """Directories that relative paths in arguments may start from, as far as is known."""
        config = self._config
        if config.roots or config.url is not None:
            return config.roots
        return (config.cwd or Path.cwd(),)

    def _without_invalid_structure(self, tool: str, output: ToolOutput) -> ToolOutput:
        """Drop structured content that violates the tool's output schema; the text stays."""
        schemas = (each.output_schema for each in self._definitions if each.name == tool)
        schema = next(schemas, None)
        if schema is None or output.structured is None or output.is_error:
            return output
        broken = violation(output.structured, schema)
        if broken is None:
            return output
        message = "MCP server %r: structured content of tool %s violates its output schema at %s"
        logger.warning(message, self._name, tool, broken)
        return replace(output, structured=None)

    def _truncate(self, output: ToolOutput) -> ToolOutput:
        limit = self._config.max_output_tokens
        return self._services.outputs.cut(self._name, output, limit) if limit else output

    @property
    def may_have_resources(self) -> bool:
        """True if the connected server declares resources; it may still have none."""
        return self._connection is not None and self._connection.has_resources

    @property
    def has_resources(self) -> bool:
        """True if the connected server listed resources; checked soon after it is ready."""
        return self._has_resources and self._connection is not None

    @property
    def has_prompts(self) -> bool:
        """True if the connected server declares prompts."""
        return self._connection is not None and self._connection.has_prompts

    async def perform(self, request: Callable[[Connection], Awaitable[_Answer]]) -> _Answer:
        """Perform a request other than a tool call, under the timeout of a call.

        Raises:
            ToolError: the server is down, refused, timed out or sent an invalid answer.
        """
        with self._timeouts.call():
            return await self._in_session(request)
        raise self._timeout_error()

    @asynccontextmanager
    async def watch_resource(self, uri: str) -> AsyncGenerator[AsyncIterator[None], None]:
        """Yield an item on each change of the resource until the connection ends.

        Raises:
            ToolError: the server is down or refused the subscription.
        """
        async with (await self._connected()).watch_resource(uri) as changes:
            yield changes

    def _timeout_error(self) -> ToolError:
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
