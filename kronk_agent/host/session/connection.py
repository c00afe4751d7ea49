"""One live connection to a server, by way of the SDK's client. Only ``McpServer`` makes them."""

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
from kronk_agent.concurrency.signals import Signal, Watchers
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
from kronk_agent.host.session.tasks import Tasks
from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.host.transport.connection_state import (
    OnProgress,
    RequestState,
    current_exchange,
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
"""How the protocol is found: by asking, by the handshake of before 2026, or not at all."""

_Page = TypeVar("_Page", bound=t.PaginatedResult)

MAX_PAGES = 1000
"""A listing that has more is taken to be without end."""
_LISTEN_AGAIN_SECONDS = 5.0
_PING_SECONDS = 5.0


@asynccontextmanager
async def connect(
    name: str,
    config: McpServerConfig,
    wire: ServerTransport,
    mode: Mode,
    requests: ClientCallbacks,
    read_document: ReadDocument | None = None,
) -> AsyncGenerator[Connection, None]:
    """A connection past its handshake. One that was ready and breaks just ends.

    Raises:
        StartError: it broke before it was ready.
    """
    news = _News()
    client = Client(
        wire.open(),
        mode=mode,
        message_handler=news.on_message,
        client_info=t.Implementation(name="kronk-agent", version=__version__),
        extensions=[Tasks()],
        cache=None,  # tools are listed when they change, and must then be fresh
        **requests.callbacks(),
    )
    try:
        async with client:
            connection = Connection(name, config, client, wire, news, requests, read_document)
            if mode == LATEST_MODERN_VERSION:
                await connection.ask_what_it_can_do()
            await connection.ask_for_logs()
            yield connection
    except Exception as error:  # boundary: whatever a server does, it alone fails
        if not wire.connection_state.was_ready:
            raise start_failure(name, config, error, wire.connection_state, wire.log) from error
        logger.info("the connection to MCP server %r broke", name, exc_info=True)


class _News:
    """What the server tells without being asked."""

    def __init__(self) -> None:
        self.tools_changed = Signal()
        self.resources = Watchers()
        self.elicitations_done: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)

    async def on_message(self, message: IncomingMessage) -> None:
        match message:
            case t.ToolListChangedNotification():
                self.tools_changed.set()
            case t.ResourceUpdatedNotification():
                self.resources.tell(message.params.uri)
            case t.ElicitCompleteNotification():
                self.elicitations_done[message.params.elicitation_id].set()
            case _:
                pass


class Connection:
    """Used from any task while it lasts. What a server refuses or breaks is a ``ToolError``."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        client: Client,
        wire: ServerTransport,
        news: _News,
        requests: ClientCallbacks,
        read_document: ReadDocument | None,
    ) -> None:
        self._name = name
        self._config = config
        self._client = client
        self._news = news
        self._requests = requests
        self._read_document = read_document
        self._log = wire.log if config.url is None else None
        self.connection_state = wire.connection_state

    @property
    def protocol_version(self) -> str:
        return self._client.protocol_version

    @property
    def is_modern(self) -> bool:
        """It speaks a version without sessions (2026 and later)."""
        return self.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def instructions(self) -> str:
        """What the server says of its tools; empty for nothing."""
        return self._client.instructions or ""

    @property
    def has_resources(self) -> bool:
        return self._client.server_capabilities.resources is not None

    @property
    def has_prompts(self) -> bool:
        return self._client.server_capabilities.prompts is not None

    # --- tools -------------------------------------------------------------------------------

    async def list_tools(self) -> list[ToolDefinition]:
        """All pages of the server's tools. Raises what the SDK does."""
        try:
            pages = await _all_pages(self._client.list_tools)
        except MCPError as error:
            if error.code == t.METHOD_NOT_FOUND and self._client.server_capabilities.tools is None:
                return []  # it has other things to offer
            raise
        return [_to_definition(tool) for page in pages for tool in page.tools]

    async def list_tools_again(self) -> list[ToolDefinition]:
        """The same, once it is ready."""
        async with self._failures_told():
            return await self.list_tools()

    async def call_tool(
        self, tool: str, arguments: JsonObject, on_progress: OnProgress
    ) -> ToolOutput:
        """Call the tool; a call that is cancelled is cancelled on the server too.

        Raises:
            SessionExpiredError: the session was over before; the connection is lost.
        """
        if self._requests.sampler is not None:
            self._requests.sampler.call_began()
        async with self._failures_told("call", on_progress) as request_state:
            try:
                result = await self._call(tool, arguments, request_state)
            except MCPError as error:
                if error.code != t.URL_ELICITATION_REQUIRED or not await self._visit(error):
                    raise
                result = await self._call(tool, arguments, request_state)
            output = await to_output(result, self._read_document)
            return self._without_secrets(output) if output.is_error else output

    def _without_secrets(self, output: ToolOutput) -> ToolOutput:
        """The output of a call that failed, in which a server may repeat what it was given."""
        redact = redactor_of(self._config)
        parts = [
            TextPart(redact(part.text)) if isinstance(part, TextPart) else part
            for part in output.content
        ]
        return replace(output, content=tuple(parts))

    @asynccontextmanager
    async def _failures_told(
        self, request: str = "request", on_progress: OnProgress | None = None
    ) -> AsyncGenerator[RequestState, None]:
        """Make a request within; what goes wrong with it is told in words.

        Raises:
            SessionExpiredError: the server no longer knows our session; the connection is lost.
            ToolError: anything else.
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
        """Ask whether the session still holds, after a refusal that does not say so."""
        request_state = RequestState()
        with anyio.move_on_after(_PING_SECONDS), _as_current(request_state):
            with suppress(*CALL_FAILURES):  # no server need know the method
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

    async def _visit(self, error: MCPError) -> bool:
        """Have the person do on the web what the server wants first; True when it is done."""
        wanted = t.ElicitationRequiredErrorData.model_validate(error.data)
        for params in wanted.elicitations:
            answer = await self._requests.elicitor.answer(params)
            if isinstance(answer, t.ErrorData) or answer.action != "accept":
                return False
        with self._requests.timeouts.paused_for_client_request():
            for params in wanted.elicitations:
                if params.elicitation_id is not None:
                    await self._news.elicitations_done[params.elicitation_id].wait()
        return True

    async def follow_changes(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Run until cancelled, calling back when the server's tools have changed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                await self._news.tools_changed.wait()
                await on_change()

    async def _listen(self) -> None:
        """Since 2026 servers tell of changes only to those who listen."""
        tools = self._client.server_capabilities.tools
        if not self.is_modern or not (tools and tools.list_changed):
            return
        while True:
            try:
                async with self._client.listen(tools_list_changed=True) as events:
                    self._news.tools_changed.set()  # what changed before, nobody told
                    async for _ in events:
                        self._news.tools_changed.set()
            except SubscriptionLost:
                pass
            except MCPError:
                return  # refused
            await anyio.sleep(_LISTEN_AGAIN_SECONDS)  # no stream lasts forever

    async def ask_what_it_can_do(self) -> None:
        """Where the version was given, nobody has asked yet."""
        session = self._client.session
        with suppress(MCPError):  # what is not known is tried
            found = await session.send_discover(LATEST_MODERN_VERSION)
            session.adopt(t.DiscoverResult.model_validate(found))

    async def ask_for_logs(self) -> None:
        """Older servers send their log to those who ask; newer ones are told in each request."""
        if self.is_modern or self._client.server_capabilities.logging is None:
            return
        # The client's own method warns that this goes out of use.
        request = t.SetLevelRequest(params=t.SetLevelRequestParams(level=LOG_LEVEL))
        with suppress(MCPError):  # then without
            await self._client.session.send_request(request, t.EmptyResult)

    # --- resources and prompts ---------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        async with self._failures_told():
            pages = await _all_pages(self._client.list_resources)
        return [
            Resource(self._name, r.uri, r.name, r.title, r.description, r.mime_type, r.size)
            for page in pages
            for r in page.resources
        ]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        async with self._failures_told():
            pages = await _all_pages(self._client.list_resource_templates)
        return [
            ResourceTemplate(
                self._name, r.uri_template, r.name, r.title, r.description, r.mime_type
            )
            for page in pages
            for r in page.resource_templates
        ]

    async def read_resource(self, uri: str) -> Sequence[ResourceContents]:
        async with self._failures_told():
            result = await self._client.read_resource(uri)
            return tuple([each async for each in to_contents(result, self._read_document)])

    @asynccontextmanager
    async def watch_resource(self, uri: str) -> AsyncGenerator[AsyncIterator[None], None]:
        """Gives an item each time the resource has changed; many changes may be one."""
        if self.is_modern:
            async with self._client.listen(resource_subscriptions=[uri]) as events:
                yield _without_details(events)
            return
        session = self._client.session  # the client's own methods warn that they go out of use
        with self._news.resources.watch(uri) as changes:
            subscribe = t.SubscribeRequest(params=t.SubscribeRequestParams(uri=uri))
            async with self._failures_told():
                await session.send_request(subscribe, t.EmptyResult)
            try:
                yield changes
            finally:
                unsubscribe = t.UnsubscribeRequest(params=t.UnsubscribeRequestParams(uri=uri))
                with anyio.move_on_after(1, shield=True), suppress(MCPError):
                    await session.send_request(unsubscribe, t.EmptyResult)

    async def list_prompts(self) -> list[Prompt]:
        async with self._failures_told():
            pages = await _all_pages(self._client.list_prompts)
        return [
            Prompt(
                self._name,
                prompt.name,
                prompt.title,
                prompt.description,
                tuple(
                    PromptArgument(gap.name, gap.description, bool(gap.required))
                    for gap in prompt.arguments or ()
                ),
            )
            for page in pages
            for prompt in page.prompts
        ]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> PromptMessages:
        async with self._failures_told():
            result = await self._client.get_prompt(name, arguments)
            return await to_prompt_messages(result, self._read_document)

    async def complete(
        self,
        of: Prompt | ResourceTemplate,
        argument: str,
        value: str,
        others: dict[str, str],
    ) -> tuple[str, ...]:
        """What the argument may be, given how it begins and what the others are."""
        if self._client.server_capabilities.completions is None:
            return ()
        match of:
            case Prompt():
                ref: t.PromptReference | t.ResourceTemplateReference = t.PromptReference(
                    name=of.name
                )
            case ResourceTemplate():
                ref = t.ResourceTemplateReference(uri=of.uri_template)
        async with self._failures_told():
            result = await self._client.complete(
                ref, {"name": argument, "value": value}, context_arguments=others or None
            )
        return tuple(result.completion.values)


async def _without_details(events: AsyncIterator[object]) -> AsyncIterator[None]:
    async for _ in events:
        yield None


def _is_session_unknown(error: Exception, request_state: RequestState) -> bool:
    if not request_state.has_session or not isinstance(error, MCPError):
        return False
    is_gone = request_state.http_status in GONE_STATUSES
    return is_gone or is_session_unknown(request_state.said or error.message)


@contextmanager
def _as_current(request_state: RequestState) -> Iterator[None]:
    token = current_exchange.set(request_state)
    try:
        yield
    finally:
        current_exchange.reset(token)


async def _all_pages(fetch: Callable[..., Awaitable[_Page]]) -> list[_Page]:
    """All pages of a listing, unless it goes in circles."""
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
