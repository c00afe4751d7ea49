"""The life of one registered server: started, kept, and started again when it ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
import mcp.types
from anyio import to_thread
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kronk_agent.config.schema import McpServerConfig
from kronk_agent.errors import ServerUnavailableError, ToolError
from kronk_agent.host.connection import Connection, Mode, connect
from kronk_agent.host.content import to_output
from kronk_agent.host.definitions import to_tools
from kronk_agent.host.evidence import Evidence
from kronk_agent.host.failures import (
    CALL_FAILURES,
    call_failure,
    is_early_exit,
    late_start,
    start_failure,
)
from kronk_agent.host.log import ServerLog
from kronk_agent.messages import JsonObject
from kronk_agent.tool import Tool, ToolContext, ToolOutput

logger = logging.getLogger(__name__)

ServerState: TypeAlias = Literal["disabled", "starting", "ready", "failed"]

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
STABLE_SECONDS = 30.0
"""A server that stayed this long is started again without the delays of its earlier failures."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How a registered server is."""

    name: str
    state: ServerState
    num_tools: int
    error: str | None = None
    """Why it failed, and what would help; it is still tried again from time to time."""


class McpServer:
    """One registered server and its tools, as a toolset.

    ``run`` is the one task that enters and leaves connections; calls come from any task. While a
    server that was lost is started again its tools stay, and calls wait for it.
    """

    def __init__(self, name: str, config: McpServerConfig, *, log_path: Path) -> None:
        self._name = name
        self._config = config
        self._log = ServerLog(log_path)
        self._mode: Mode = config.protocol
        self._connection: Connection | None = None
        self._definitions: list[mcp.types.Tool] = []
        self._tools: tuple[Tool, ...] = ()
        self._error: str | None = None
        self._settled = anyio.Event()
        self._is_stopping = False
        self._run_scope: anyio.CancelScope | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def state(self) -> ServerState:
        if self._config.disabled:
            return "disabled"
        if self._connection is not None:
            return "ready"
        return "starting" if self._error is None else "failed"

    def tools(self) -> Sequence[Tool]:
        return self._tools

    def status(self) -> ServerStatus:
        return ServerStatus(self._name, self.state, len(self._tools), self._error)

    async def settled(self) -> None:
        """Wait until the server is ready or has failed; at most its ``startup_timeout``."""
        if not self._config.disabled:
            await self._settled.wait()

    # --- the owner task ----------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the server running until ``stop``, waiting longer after each failure."""
        if self._config.disabled:
            return
        delay = FIRST_DELAY_SECONDS
        try:
            with anyio.CancelScope() as self._run_scope:
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
            self._connection.evidence.lost.set()
        elif self._run_scope is not None:
            self._run_scope.cancel()

    async def _live(self) -> None:
        """From one start of the server to its end."""
        deadline = anyio.current_time() + self._config.startup_timeout
        try:
            try:
                await self._attempt(self._mode, deadline)
            except ServerUnavailableError as error:
                if self._mode != "auto" or not is_early_exit(error):
                    raise
                # Some old servers exit when asked for their protocol, so it is not asked.
                await self._attempt("legacy", deadline)
        except ServerUnavailableError as error:
            self._fail(str(error))

    async def _attempt(self, mode: Mode, deadline: float) -> None:
        """Connect, list the tools, and stay until the connection is lost.

        Raises:
            ServerUnavailableError: it did not get as far as listing the tools.
        """
        evidence = Evidence()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._limit_start, deadline, evidence, tasks.cancel_scope)
                async with connect(
                    self._name, self._config, mode, evidence, self._log
                ) as connection:
                    await self._list_tools(connection)
                    self._become_ready(connection)
                    await self._stay(connection)
                tasks.cancel_scope.cancel()
        except Exception as error:  # boundary: whatever a server does, it alone fails
            if not evidence.was_ready:
                raise start_failure(self._name, self._config, error, evidence, self._log) from error
            logger.info("the connection to MCP server %r broke", self._name, exc_info=True)

    async def _limit_start(
        self, deadline: float, evidence: Evidence, attempt: anyio.CancelScope
    ) -> None:
        await anyio.sleep_until(deadline)
        if not evidence.was_ready:
            # Said before the program is closed, which takes seconds when it hangs.
            self._fail(late_start(self._name, self._config, evidence, self._log))
            attempt.cancel()

    async def _stay(self, connection: Connection) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.follow_changes, partial(self._relist, connection))
            try:
                await connection.evidence.lost.wait()
            finally:
                self._lose()  # at once: closing a program may take seconds
            tasks.cancel_scope.cancel()

    def _become_ready(self, connection: Connection) -> None:
        connection.evidence.was_ready = True
        self._connection, self._error = connection, None
        if connection.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS:
            self._mode = "legacy"  # so that it need not be asked after a restart
        self._settled.set()

    def _fail(self, error: str) -> None:
        self._error, self._definitions, self._tools = error, [], ()
        self._settled.set()

    def _lose(self) -> None:
        self._connection = None
        self._settled = anyio.Event()

    async def _list_tools(self, connection: Connection) -> None:
        definitions = await connection.list_tools()
        if definitions != self._definitions:
            # In a thread because checking a schema takes about 2 ms.
            tools = await to_thread.run_sync(to_tools, self._name, definitions, self._call)
            self._definitions, self._tools = definitions, tools

    async def _relist(self, connection: Connection) -> None:
        try:
            with anyio.fail_after(self._config.startup_timeout):
                await self._list_tools(connection)
        except CALL_FAILURES as error:
            reason = call_failure(self._name, self._config, error, is_lost=False)
            logger.warning("the tools of MCP server %r stay as they were: %s", self._name, reason)

    # --- calls -------------------------------------------------------------------------------

    async def _call(self, tool: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        timeout = self._config.timeout
        with anyio.CancelScope(deadline=anyio.current_time() + timeout) as scope:

            async def on_progress(
                progress: float, total: float | None, message: str | None
            ) -> None:
                scope.deadline = anyio.current_time() + timeout
                context.report_progress(progress, total, message)

            connection = await self._connected()
            try:
                return to_output(await connection.call_tool(tool, arguments, on_progress))
            except CALL_FAILURES as error:
                lost = connection.evidence.lost.is_set()
                raise call_failure(self._name, self._config, error, is_lost=lost) from error
        raise ToolError(
            f"MCP server {self._name!r} gave no answer and no progress within {timeout:g} s: "
            f"ask for less, or raise mcp_servers.{self._name}.timeout"
        )

    async def _connected(self) -> Connection:
        await self._settled.wait()
        if self._connection is None:
            raise ToolError(self._error or f"MCP server {self._name!r} was lost again")
        return self._connection
