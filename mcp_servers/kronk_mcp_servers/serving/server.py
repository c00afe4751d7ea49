"""Serves a registry with the SDK's low-level server."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import mcp.types as t
from mcp import MCPError
from mcp.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from kronk_agent import __version__
from kronk_agent.errors import KronkError
from kronk_agent.messages import JsonObject
from kronk_agent.tools.arguments import ArgumentsCheck
from kronk_mcp_servers.serving.listeners import Listeners
from kronk_mcp_servers.serving.nulls import without_nulls
from kronk_mcp_servers.serving.paging import page
from kronk_mcp_servers.serving.registry import Completed, Registry, ServedTool
from kronk_mcp_servers.serving.request_context import MessageContext, RequestContext
from kronk_mcp_servers.serving.running_calls import WAIT_SECONDS, RunningCalls
from kronk_mcp_servers.serving.tasks import add_tasks, created, knows_tasks, require_tasks

_Found = TypeVar("_Found")

LIST_MILLISECONDS = 5000
"""Milliseconds for which clients may cache lists."""
_MAX_COMPLETIONS = 100  # the protocol's own limit


class LayeredServer(Server[RunningCalls]):
    """The SDK's server, extended to announce list changes to clients from before 2026."""

    def __init__(self, name: str, listeners: Listeners, **options: Any) -> None:
        super().__init__(
            name, version=__version__, lifespan=lambda _: RunningCalls.open(listeners), **options
        )
        self.listeners = listeners
        """Sends change notifications to clients."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """Enable the list-changed notifications."""
        changes = NotificationOptions(
            prompts_changed=True, resources_changed=True, tools_changed=True
        )
        return super().create_initialization_options(
            notification_options or changes, experimental_capabilities, extensions
        )


def build_server(
    registry: Registry, *, name: str, title: str | None = None, instructions: str | None = None
) -> LayeredServer:
    """Return a server for the registry, for any transport and all protocol versions."""
    listeners = Listeners()
    handlers = _Handlers(registry, listeners)
    server = LayeredServer(
        name,
        listeners,
        title=title,
        instructions=instructions,
        get_tool_input_schema=handlers.input_schema,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_subscribe_resource=handlers.subscribe,
        on_unsubscribe_resource=handlers.unsubscribe,
        on_subscriptions_listen=listeners.listen,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_completion=handlers.complete,
    )
    # Not on_set_logging_level, which warns that the newest version has no such request.
    server.add_request_handler("logging/setLevel", t.SetLevelRequestParams, handlers.set_level)
    add_tasks(server)
    security = RequestStateSecurity.ephemeral(ttl=WAIT_SECONDS)
    server.middleware.append(RequestStateBoundary(security, default_audience=name))
    return server


@dataclass(slots=True)
class _Checked:
    """A tool's argument check, cached as long as its schema does not change."""

    schema: JsonObject
    check: ArgumentsCheck


@dataclass(slots=True)
class _Handlers:
    """The request handlers."""

    registry: Registry
    listeners: Listeners
    _checks: dict[str, _Checked] = field(default_factory=dict)

    # --- tools -------------------------------------------------------------------------------

    async def list_tools(
        self, context: MessageContext, params: t.PaginatedRequestParams | None
    ) -> t.ListToolsResult:
        """Handle ``tools/list``."""
        self.listeners.heard_from(context)
        tools, cursor = page([tool.definition for tool in self.registry.tools()], params)
        return t.ListToolsResult(tools=tools, next_cursor=cursor, **_CACHED)

    async def call_tool(self, context: MessageContext, params: t.CallToolRequestParams) -> Any:
        """Handle ``tools/call``."""
        tool = self._tool(params.name)
        if tool is None:
            available = ", ".join(tool.definition.name for tool in self.registry.tools()) or "none"
            message = f"unknown tool {params.name[:64]!r}; available: {available}"
            raise MCPError(t.INVALID_PARAMS, message)
        if tool.is_task_only:
            require_tasks(context)
        arguments = without_nulls(params.arguments or {}, tool.definition.input_schema)
        if problem := self._check(tool).problem(arguments):
            return error_result(f"{params.name}{problem}")
        outcome = await _calls(context).answer(
            context,
            partial(_call, tool, arguments),
            answers=params.input_responses,
            state=params.request_state,
            task_after_seconds=tool.task_after_seconds if knows_tasks(context) else None,
        )
        return created(outcome) if isinstance(outcome, RequestContext) else outcome

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """Return a tool's input schema; None if the tool is unknown."""
        tool = self._tool(name)
        return tool.definition.input_schema if tool else None

    def _tool(self, name: str) -> ServedTool | None:
        return next((tool for tool in self.registry.tools() if tool.definition.name == name), None)

    def _check(self, tool: ServedTool) -> ArgumentsCheck:
        schema = tool.definition.input_schema
        cached = self._checks.get(tool.definition.name)
        if cached is None or cached.schema != schema:
            cached = _Checked(schema, ArgumentsCheck(schema))
            self._checks[tool.definition.name] = cached
        return cached.check

    # --- resources ---------------------------------------------------------------------------

    async def list_resources(
        self, context: MessageContext, params: t.PaginatedRequestParams | None
    ) -> t.ListResourcesResult:
        """Handle ``resources/list``."""
        self.listeners.heard_from(context)
        found = [item for source in self.registry.resources for item in await source.resources()]
        resources, cursor = page(found, params)
        return t.ListResourcesResult(resources=resources, next_cursor=cursor, **_FRESH)

    async def list_templates(
        self, context: MessageContext, params: t.PaginatedRequestParams | None
    ) -> t.ListResourceTemplatesResult:
        """Handle ``resources/templates/list``."""
        found = [item for source in self.registry.resources for item in await source.templates()]
        templates, cursor = page(found, params)
        return t.ListResourceTemplatesResult(
            resource_templates=templates, next_cursor=cursor, **_CACHED
        )

    async def read_resource(
        self, context: MessageContext, params: t.ReadResourceRequestParams
    ) -> Any:
        """Handle ``resources/read``."""
        uri = str(params.uri)
        return await _calls(context).answer(
            context,
            partial(self._read, uri),
            answers=params.input_responses,
            state=params.request_state,
        )

    async def _read(self, uri: str, call: RequestContext) -> t.ReadResourceResult:
        for source in self.registry.resources:
            contents = await _as_protocol_error(source.read(uri, call))
            if contents is not None:
                return t.ReadResourceResult(contents=list(contents), **_FRESH)
        raise MCPError(t.INVALID_PARAMS, f"unknown resource {uri[:500]!r}", {"uri": uri})

    async def subscribe(
        self, context: MessageContext, params: t.SubscribeRequestParams
    ) -> t.EmptyResult:
        """Handle ``resources/subscribe``."""
        self.listeners.subscribe(context, str(params.uri))
        return t.EmptyResult()

    async def unsubscribe(
        self, context: MessageContext, params: t.UnsubscribeRequestParams
    ) -> t.EmptyResult:
        """Handle ``resources/unsubscribe``."""
        self.listeners.unsubscribe(context, str(params.uri))
        return t.EmptyResult()

    # --- prompts -----------------------------------------------------------------------------

    async def list_prompts(
        self, context: MessageContext, params: t.PaginatedRequestParams | None
    ) -> t.ListPromptsResult:
        """Handle ``prompts/list``."""
        prompts, cursor = page(await self._prompts(), params)
        return t.ListPromptsResult(prompts=prompts, next_cursor=cursor, **_CACHED)

    async def get_prompt(self, context: MessageContext, params: t.GetPromptRequestParams) -> Any:
        """Handle ``prompts/get``."""
        prompt = next((p for p in await self._prompts() if p.name == params.name), None)
        if prompt is None:
            available = ", ".join(p.name for p in await self._prompts()) or "none"
            message = f"unknown prompt {params.name[:64]!r}; available: {available}"
            raise MCPError(t.INVALID_PARAMS, message)
        arguments = params.arguments or {}
        _check_prompt_arguments(prompt, arguments)
        return await _calls(context).answer(
            context,
            partial(self._get_prompt, params.name, arguments),
            answers=params.input_responses,
            state=params.request_state,
        )

    async def _prompts(self) -> Sequence[t.Prompt]:
        return [prompt for source in self.registry.prompts for prompt in await source.prompts()]

    async def _get_prompt(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult:
        for source in self.registry.prompts:
            found = await _as_protocol_error(source.get(name, arguments, call))
            if found is not None:
                return found
        raise MCPError(t.INVALID_PARAMS, f"prompt {name!r} no longer exists")

    # --- the rest ----------------------------------------------------------------------------

    async def complete(
        self, context: MessageContext, params: t.CompleteRequestParams
    ) -> t.CompleteResult:
        """Handle ``completion/complete``."""
        argument, value = params.argument.name, params.argument.value
        others = (params.context.arguments if params.context else None) or {}
        found: Completed | None = None
        match params.ref:
            case t.PromptReference(name=name):
                for prompts in self.registry.prompts:
                    found = found or await prompts.complete(name, argument, value, others)
            case t.ResourceTemplateReference(uri=uri):
                for resources in self.registry.resources:
                    found = found or await resources.complete(uri, argument, value, others)
        if found is None:
            message = "unknown prompt, resource template or argument"
            raise MCPError(t.INVALID_PARAMS, message)
        values = list(found.values[:_MAX_COMPLETIONS])
        return t.CompleteResult(
            completion=t.Completion(
                values=values, total=len(found.values), has_more=len(found.values) > len(values)
            )
        )

    async def set_level(
        self, context: MessageContext, params: t.SetLevelRequestParams
    ) -> t.EmptyResult:
        """Handle ``logging/setLevel``."""
        self.listeners.set_log_level(context, params.level)
        return t.EmptyResult()


_CACHED: dict[str, Any] = {"ttl_ms": LIST_MILLISECONDS, "cache_scope": "private"}
_FRESH: dict[str, Any] = {"ttl_ms": 0, "cache_scope": "private"}


def error_result(text: str) -> t.CallToolResult:
    """Return an error that the client's model reads and can correct."""
    return t.CallToolResult(content=[t.TextContent(text=text)], is_error=True)


async def _call(tool: ServedTool, arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
    try:
        return await tool.call(arguments, call)
    except KronkError as error:
        return error_result(str(error))


async def _as_protocol_error(reading: Awaitable[_Found]) -> _Found:
    """Convert a ``KronkError`` to a protocol error, for requests without error results."""
    try:
        return await reading
    except KronkError as error:
        raise MCPError(t.INVALID_PARAMS, str(error)) from error


def _calls(context: MessageContext) -> RunningCalls:
    calls: RunningCalls = context.lifespan_context
    return calls


def _check_prompt_arguments(prompt: t.Prompt, arguments: Mapping[str, str]) -> None:
    declared = {argument.name: argument for argument in prompt.arguments or ()}
    missing = [name for name, argument in declared.items() if argument.required]
    for name in missing:
        if name not in arguments:
            message = f"prompt {prompt.name}: missing argument {name!r}"
            raise MCPError(t.INVALID_PARAMS, message)
    for name in arguments:
        if name not in declared:
            available = ", ".join(declared) or "none"
            message = f"prompt {prompt.name}: unknown argument {name!r}; available: {available}"
            raise MCPError(t.INVALID_PARAMS, message)
