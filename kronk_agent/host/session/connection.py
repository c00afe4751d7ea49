"""One live connection to a server, built on the SDK's client. Only ``McpServer`` opens them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Literal, TypeAlias, TypeVar, cast

import anyio
import mcp.types as t
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS

from kronk_agent import __version__
from kronk_agent.concurrency.signals import Signal, Subscriptions
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host.client_features.callbacks import LOG_LEVEL, ClientCallbacks
from kronk_agent.host.diagnostics.errors import SessionExpiredError
from kronk_agent.host.diagnostics.failures import (
    CALL_FAILURES,
    call_failure,
    redactor_of,
    start_failure,
)
from kronk_agent.host.resources.types import (
    Prompt,
    PromptArgument,
    PromptMessages,
    Resource,
    ResourceContents,
    ResourceTemplate,
)
from kronk_agent.host.results.content import (
    ReadDocument,
    to_contents,
    to_output,
    to_prompt_messages,
)
from kronk_agent.host.results.tool_list import OUTPUT_SCHEMA
from kronk_agent.host.session.call_depth import META_KEY, current_hops
from kronk_agent.host.session.tasks import TasksExtension
from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.host.transport.connection_state import (
    OnProgress,
    RequestState,
    current_request,
)
from kronk_agent.host.transport.server_transport import ServerTransport
from kronk_agent.host.transport.sessions import (
    DOUBTFUL_STATUSES,
    GONE_STATUSES,
    is_session_unknown,
)
from kronk_agent.messages import JsonObject, TextPart
from kronk_agent.tools import ToolOutput

logger = logging.getLogger(__name__)

Mode: TypeAlias = Literal["auto", "legacy", "2026-07-28"]
"""Protocol negotiation: by discovery, by the handshake used before 2026, or skipped."""

_Page = TypeVar("_Page", bound=t.PaginatedResult)

MAX_PAGES = 1000
"""Pages after which a listing is treated as endless."""
_LISTEN_AGAIN_SECONDS = 5.0
_PING_SECONDS = 5.0


@asynccontextmanager
async def connect(
    name: str,
    config: McpServerConfig,
    transport: ServerTransport,
    mode: Mode,
    callbacks: ClientCallbacks,
    read_document: ReadDocument | None = None,
) -> AsyncGenerator[Connection, None]:
    """Open a connection and complete its handshake.

    If a ready connection breaks, the context ends without an error.

    Args:
        transport: opened once.
        mode: how to negotiate the protocol version.
        callbacks: handlers for requests of the server.
        read_document: extracts the text of binary documents; None: they are only mentioned.

    Raises:
        StartError: the connection failed before it was ready.
    """
    notifications = _Notifications()
    client = Client(
        transport.open(),
        mode=mode,
        message_handler=notifications.on_message,
        client_info=t.Implementation(name="kronk-agent", version=__version__),
        extensions=[TasksExtension()],
        cache=None,  # tools are listed again only after a change, so a cached list is stale
        **callbacks.client_arguments(),
    )
    try:
        async with client:
            connection = Connection(
                name, config, client, transport, notifications, callbacks, read_document
            )
            if mode == LATEST_MODERN_VERSION:
                await connection.discover_capabilities()
            await connection.request_logs()
            yield connection
    except Exception as error:  # boundary: a faulty server must not affect the others
        if not transport.connection_state.was_ready:
            raise start_failure(
                name, config, error, transport.connection_state, transport.log
            ) from error
        logger.info("the connection to MCP server %r broke", name, exc_info=True)


class _Notifications:
    """Notifications that the server sends on its own."""

    def __init__(self) -> None:
        self.tools_changed = Signal()
        self.resources = Subscriptions()
        self.elicitations_done: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)

    async def on_message(self, message: IncomingMessage) -> None:
        """Dispatch a notification; unknown ones are ignored."""
        match message:
            case t.ToolListChangedNotification():
                self.tools_changed.set()
            case t.ResourceUpdatedNotification():
                self.resources.notify(message.params.uri)
            case t.ElicitCompleteNotification():
                self.elicitations_done[message.params.elicitation_id].set()
            case _:
                pass


class Connection:
    """A connection to one server, usable from any task. Failed requests raise ``ToolError``."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        client: Client,
        transport: ServerTransport,
        notifications: _Notifications,
        callbacks: ClientCallbacks,
        read_document: ReadDocument | None,
    ) -> None:
        self._name = name
        self._config = config
        self._client = client
        self._notifications = notifications
        self._callbacks = callbacks
        self._read_document = read_document
        self._log = transport.log if config.url is None else None
        self.connection_state = transport.connection_state

    @property
    def protocol_version(self) -> str:
        """Negotiated protocol version."""
        return self._client.protocol_version

    @property
    def is_modern(self) -> bool:
        """True if the protocol version has no sessions (2026 and later)."""
        return self.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def instructions(self) -> str:
        """The server's ``instructions``; empty if it has none."""
        return self._client.instructions or ""

    @property
    def has_resources(self) -> bool:
        """True if the server declares resources."""
        return self._client.server_capabilities.resources is not None

    @property
    def has_prompts(self) -> bool:
        """True if the server declares prompts."""
        return self._client.server_capabilities.prompts is not None

    # --- tools -------------------------------------------------------------------------------

    async def list_tools(self) -> list[ToolDefinition]:
        """List all pages of the server's tools. Raises the SDK's own exceptions."""
        try:
            pages = await _all_pages(self._client.list_tools)
        except MCPError as error:
            if error.code == t.METHOD_NOT_FOUND and self._client.server_capabilities.tools is None:
                return []  # a server without tools, such as one that only has resources
            raise
        return [_to_definition(tool) for page in pages for tool in page.tools]

    async def relist_tools(self) -> list[ToolDefinition]:
        """List the tools of a ready connection.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            return await self.list_tools()

    async def call_tool(
        self, tool: str, arguments: JsonObject, on_progress: OnProgress
    ) -> ToolOutput:
        """Call a tool; cancelling the call also cancels it on the server.

        Raises:
            SessionExpiredError: the session had expired, so the call had no effect.
            ToolError: the call failed.
        """
        if self._callbacks.sampler is not None:
            self._callbacks.sampler.note_call()
        async with self._translated_failures("call", on_progress) as request_state:
            try:
                result = await self._call(tool, arguments, request_state)
            except MCPError as error:
                if error.code != t.URL_ELICITATION_REQUIRED or not await self._open_required_urls(
                    error
                ):
                    raise
                result = await self._call(tool, arguments, request_state)
            output = await to_output(result, self._read_document)
            return self._redacted(output) if output.is_error else output

    def _redacted(self, output: ToolOutput) -> ToolOutput:
        """Redact a failed output, in which a server may repeat its secrets."""
        redact = redactor_of(self._config)
        parts = [
            TextPart(redact(part.text)) if isinstance(part, TextPart) else part
            for part in output.content
        ]
        return replace(output, content=tuple(parts))

    @asynccontextmanager
    async def _translated_failures(
        self, request: str = "request", on_progress: OnProgress | None = None
    ) -> AsyncGenerator[RequestState, None]:
        """Make one request; failures are translated into readable errors.

        Raises:
            SessionExpiredError: the server no longer knows the session; the connection is lost.
            ToolError: any other failure.
        """
        request_state = RequestState(on_progress)
        try:
            with _as_current(request_state):
                yield request_state
        except CALL_FAILURES as error:
            is_unknown = _is_session_unknown(error, request_state)
            failure = call_failure(
                self._name,
                self._config,
                error,
                is_lost=self.connection_state.lost.is_set() and not is_unknown,
                request_state=request_state,
                request=request,
                log=self._log,
            )
            if is_unknown:
                self.connection_state.lost.set()
                raise SessionExpiredError(str(failure)) from error
            is_doubtful = (
                request_state.has_session and request_state.http_status in DOUBTFUL_STATUSES
            )
            if is_doubtful and not await self._is_alive():
                self.connection_state.lost.set()
            raise failure from error

    async def _is_alive(self) -> bool:
        """Ping the server after a refusal that does not tell whether the session is over."""
        request_state = RequestState()
        with anyio.move_on_after(_PING_SECONDS), _as_current(request_state):
            with suppress(*CALL_FAILURES):  # servers may not implement ping
                await self._client.session.send_request(t.PingRequest(), t.EmptyResult)
            return request_state.http_status is None
        return False

    async def _call(
        self, tool: str, arguments: JsonObject, request_state: RequestState
    ) -> t.CallToolResult:
        return await self._client.call_tool(
            tool,
            arguments,
            progress_callback=request_state.on_progress,
            meta=cast("t.RequestParamsMeta", {META_KEY: current_hops.get() + 1}),
        )

    async def _open_required_urls(self, error: MCPError) -> bool:
        """Have the user open the required URLs first; True if all were completed."""
        wanted = t.ElicitationRequiredErrorData.model_validate(error.data)
        for params in wanted.elicitations:
            answer = await self._callbacks.elicitor.answer(params)
            if isinstance(answer, t.ErrorData) or answer.action != "accept":
                return False
        with self._callbacks.timeouts.paused_for_client_request():
            for params in wanted.elicitations:
                if params.elicitation_id is not None:
                    await self._notifications.elicitations_done[params.elicitation_id].wait()
        return True

    async def follow_changes(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Run until cancelled and call ``on_change`` when the server's tools changed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                await self._notifications.tools_changed.wait()
                await on_change()

    async def _listen(self) -> None:
        """Subscribe to tool changes, as protocol 2026 requires."""
        tools = self._client.server_capabilities.tools
        if not self.is_modern or not (tools and tools.list_changed):
            return
        while True:
            try:
                async with self._client.listen(tools_list_changed=True) as events:
                    self._notifications.tools_changed.set()  # earlier changes were not announced
                    async for _ in events:
                        self._notifications.tools_changed.set()
            except SubscriptionLost:
                pass
            except MCPError:
                return  # refused
            await anyio.sleep(_LISTEN_AGAIN_SECONDS)  # streams end now and then

    async def discover_capabilities(self) -> None:
        """Discover the server's capabilities when a fixed version skipped discovery."""
        session = self._client.session
        with suppress(MCPError):  # unknown capabilities are simply tried
            found = await session.send_discover(LATEST_MODERN_VERSION)
            session.adopt(t.DiscoverResult.model_validate(found))

    async def request_logs(self) -> None:
        """Request log messages from older servers; newer ones get the level in each request."""
        if self.is_modern or self._client.server_capabilities.logging is None:
            return
        # The client's own method emits a deprecation warning.
        request = t.SetLevelRequest(params=t.SetLevelRequestParams(level=LOG_LEVEL))
        with suppress(MCPError):  # logs are optional
            await self._client.session.send_request(request, t.EmptyResult)

    # --- resources and prompts ---------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """List all pages of the server's resources.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            pages = await _all_pages(self._client.list_resources)
        return [
            Resource(self._name, r.uri, r.name, r.title, r.description, r.mime_type, r.size)
            for page in pages
            for r in page.resources
        ]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """List all pages of the server's resource templates.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            pages = await _all_pages(self._client.list_resource_templates)
        return [
            ResourceTemplate(
                self._name, r.uri_template, r.name, r.title, r.description, r.mime_type
            )
            for page in pages
            for r in page.resource_templates
        ]

    async def read_resource(self, uri: str) -> Sequence[ResourceContents]:
        """Read a resource; a directory may have several contents.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            result = await self._client.read_resource(uri)
            return tuple([each async for each in to_contents(result, self._read_document)])

    @asynccontextmanager
    async def watch_resource(self, uri: str) -> AsyncGenerator[AsyncIterator[None], None]:
        """Yield an item each time the resource changes; several changes may be merged.

        Raises:
            ToolError: the subscription was refused.
        """
        if self.is_modern:
            async with self._client.listen(resource_subscriptions=[uri]) as events:
                yield _as_ticks(events)
            return
        session = self._client.session  # the client's own methods emit deprecation warnings
        with self._notifications.resources.subscribe(uri) as changes:
            subscribe = t.SubscribeRequest(params=t.SubscribeRequestParams(uri=uri))
            async with self._translated_failures():
                await session.send_request(subscribe, t.EmptyResult)
            try:
                yield changes
            finally:
                unsubscribe = t.UnsubscribeRequest(params=t.UnsubscribeRequestParams(uri=uri))
                with anyio.move_on_after(1, shield=True), suppress(MCPError):
                    await session.send_request(unsubscribe, t.EmptyResult)

    async def list_prompts(self) -> list[Prompt]:
        """List all pages of the server's prompts.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            pages = await _all_pages(self._client.list_prompts)
        return [
            Prompt(
                self._name,
                prompt.name,
                prompt.title,
                prompt.description,
                tuple(
                    PromptArgument(argument.name, argument.description, bool(argument.required))
                    for argument in prompt.arguments or ()
                ),
            )
            for page in pages
            for prompt in page.prompts
        ]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> PromptMessages:
        """Fetch a prompt with its arguments filled in.

        Raises:
            ToolError: the request failed.
        """
        async with self._translated_failures():
            result = await self._client.get_prompt(name, arguments)
            return await to_prompt_messages(result, self._read_document)

    async def complete(
        self,
        of: Prompt | ResourceTemplate,
        argument: str,
        value: str,
        others: dict[str, str],
    ) -> tuple[str, ...]:
        """Suggest values for an argument of a prompt or resource template.

        Args:
            of: the prompt or template.
            argument: name of the argument.
            value: what has been typed so far.
            others: values of the other arguments.

        Raises:
            ToolError: the request failed.
        """
        if self._client.server_capabilities.completions is None:
            return ()
        match of:
            case Prompt():
                ref: t.PromptReference | t.ResourceTemplateReference = t.PromptReference(
                    name=of.name
                )
            case ResourceTemplate():
                ref = t.ResourceTemplateReference(uri=of.uri_template)
        async with self._translated_failures():
            result = await self._client.complete(
                ref, {"name": argument, "value": value}, context_arguments=others or None
            )
        return tuple(result.completion.values)


async def _as_ticks(events: AsyncIterator[object]) -> AsyncIterator[None]:
    async for _ in events:
        yield None


def _is_session_unknown(error: Exception, request_state: RequestState) -> bool:
    if not request_state.has_session or not isinstance(error, MCPError):
        return False
    is_gone = request_state.http_status in GONE_STATUSES
    return is_gone or is_session_unknown(request_state.refusal_text or error.message)


@contextmanager
def _as_current(request_state: RequestState) -> Iterator[None]:
    token = current_request.set(request_state)
    try:
        yield
    finally:
        current_request.reset(token)


async def _all_pages(fetch: Callable[..., Awaitable[_Page]]) -> list[_Page]:
    """Fetch all pages of a listing; stops if a cursor repeats."""
    pages: list[_Page] = []
    cursor: str | None = None
    seen: set[str] = set()
    while len(pages) < MAX_PAGES:
        page = await fetch(cursor=cursor)
        pages.append(page)
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            break
        seen.add(cursor)
    return pages


def _to_definition(tool: t.Tool) -> ToolDefinition:
    hints, output_schema = tool.annotations, (tool.meta or {}).get(OUTPUT_SCHEMA)
    return ToolDefinition(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=output_schema if isinstance(output_schema, dict) else None,
        annotations=hints.model_dump(by_alias=True, exclude_none=True) if hints else {},
    )
