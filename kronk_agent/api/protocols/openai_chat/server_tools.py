"""Server tools that a request asks for: web search, and registered MCP servers by name."""

from __future__ import annotations

from dataclasses import replace

from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.openai_chat.request import (
    ApproximateLocation,
    ChatCompletionRequest,
    WebSearchOptions,
)
from kronk_agent.api.tools.server_tools import resource_toolset, with_result_count
from kronk_agent.errors import InvalidRequestError
from kronk_agent.tools import StaticToolset, Tool, Toolset

_MCP_SERVERS = "mcp_servers"


def server_toolsets(models: ModelRouter, body: ChatCompletionRequest) -> list[Toolset]:
    """Return the toolsets of the server tools that the request asks for.

    Raises:
        InvalidRequestError: the server does not have one of them.
        HttpError: the client's key lacks the scope ``agents`` (403).
    """
    chosen: list[Toolset] = []
    local, *servers = models.runtime.toolsets
    if body.web_search_options is not None:
        chosen.append(_web(local, body.web_search_options))
    names = (body.metadata or {}).get(_MCP_SERVERS, "")
    for name in filter(None, (part.strip() for part in names.split(","))):
        found = next((toolset for toolset in servers if toolset.name == name), None)
        if found is None:
            registered = ", ".join(toolset.name for toolset in servers) or "none"
            raise InvalidRequestError(
                f"metadata.mcp_servers: unknown MCP server {name!r}; registered: {registered}",
                param="metadata.mcp_servers",
            )
        chosen.append(found)
    if names:
        chosen += resource_toolset(servers)
    if chosen:
        current_client().need("agents")
    return chosen


def _web(local: Toolset, options: WebSearchOptions) -> Toolset:
    tools = {tool.name: tool for tool in local.tools()}
    search = tools.get("web_search")
    if search is None:
        raise InvalidRequestError(
            "web_search_options: web search is not enabled: add web_search to `tools` in the "
            "server's YAML",
            param="web_search_options",
        )
    members = [_search(search, options)]
    if "web_fetch" in tools:
        members.append(tools["web_fetch"])
    return StaticToolset("web", tuple(members))


def _search(tool: Tool, options: WebSearchOptions) -> Tool:
    """``web_search`` with the requested number of results and the user's location."""
    location = (
        "" if options.user_location is None else _location_text(options.user_location.approximate)
    )
    described = f"{tool.description} The person is in or near {location}." if location else None
    sized = with_result_count(tool, options.search_context_size)
    return replace(sized, description=described or tool.description)


def _location_text(location: ApproximateLocation) -> str:
    zone = f"the time zone {location.timezone}" if location.timezone else None
    return ", ".join(filter(None, (location.city, location.region, location.country, zone)))
