"""Web tools for a request: the configured ones, restricted by the request's limits.

The limits are enforced here and not left to the model, which sees a smaller tool: arguments that
the request fixes are not in its schema.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from kronk_agent.api.errors import HttpError
from kronk_agent.errors import InvalidRequestError, ToolError
from kronk_agent.host import ServerStatus
from kronk_agent.messages import JsonObject, JsonValue, TextPart
from kronk_agent.tools import Tool, ToolContext, ToolOutput, Toolset

ContextSize: TypeAlias = Literal["low", "medium", "high"]

_NUM_RESULTS: dict[ContextSize, int] = {"low": 3, "medium": 5, "high": 10}
_DOMAIN = re.compile(r"(?:\*\.)?[\w-]+(?:\.[\w-]+)*")
_MAX_DOMAINS = 10
_HOST = re.compile(r"https?://(?:[^/?#]*@)?([^/?#:]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """A request's limits on a web tool.

    Raises:
        InvalidRequestError: a domain is invalid, or the list is too long.
    """

    max_uses: int | None = None
    """Maximum number of calls in this request; None is no limit."""
    allowed_domains: tuple[str, ...] = ()
    """Only these domains and their subdomains; empty allows all."""
    blocked_domains: tuple[str, ...] = ()
    param: str | None = None
    """Path of the tool in the request, for errors."""

    def __post_init__(self) -> None:
        for name in ("allowed_domains", "blocked_domains"):
            domains = getattr(self, name)
            path = f"{self.param}.{name}" if self.param else name
            if len(domains) > _MAX_DOMAINS:
                raise InvalidRequestError(
                    f"{path}: at most {_MAX_DOMAINS} domains, got {len(domains)}", param=path
                )
            for domain in domains:
                if not _DOMAIN.fullmatch(domain):
                    raise InvalidRequestError(
                        f"{path}: {domain!r} is not a domain: give a bare name such as "
                        "docs.python.org, without scheme or path",
                        param=path,
                    )

    def allows(self, url: str) -> bool:
        """True if the URL's domain is allowed."""
        found = _HOST.match(url)
        host = found[1].lower().rstrip(".") if found else ""
        if any(_is_below(host, domain) for domain in self.blocked_domains):
            return False
        allowed = self.allowed_domains
        return not allowed or any(_is_below(host, domain) for domain in allowed)


def _is_below(host: str, domain: str) -> bool:
    domain = domain.lower().removeprefix("*.").removeprefix("www.")
    return host == domain or host.endswith(f".{domain}")


def with_result_count(search: Tool, size: ContextSize | None) -> Tool:
    """``web_search`` with the default number of results that OpenAI's context size stands for."""
    call = search.call
    assert call is not None, "web tools have a call"
    number = _NUM_RESULTS[size or "medium"]

    async def counted(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call the tool with the default number of results."""
        return await call({"max_results": number, **arguments}, context)

    return replace(search, call=counted)


def resource_toolset(toolsets: Sequence[Toolset]) -> list[Toolset]:
    """The toolset with ``read_resource``, for reading truncated MCP results; or no toolset."""
    return [toolset for toolset in toolsets if toolset.name == "resources"]


def require_ready(status: ServerStatus, path: str) -> None:
    """Check that an MCP server is ready or still starting.

    Raises:
        HttpError: it has failed or is disabled (424).
    """
    if status.state in ("failed", "disabled"):
        raise HttpError(
            f"{path}: MCP server {status.name!r} is {status.state}"
            + (f": {status.error}" if status.error else ""),
            status=424,
            code="mcp_server_unavailable",
            param=path,
        )


def own_name(name: str) -> str:
    """An MCP server's own name for its tool, without the server's prefix, which ends at ``__``."""
    return name.partition("__")[2] or name


def limit_search(
    tool: Tool, limits: WebLimits, *, country: str | None = None, location: str | None = None
) -> Tool:
    """``web_search`` reduced to the query; the request fixes the rest.

    Args:
        tool: the configured tool.
        limits: enforced on every call.
        country: ISO 3166-1 code of the user's country; prefers results in its language.
        location: the user's location as text, for the model.
    """
    fixed: JsonObject = {}
    if limits.allowed_domains:
        fixed["allowed_domains"] = list[JsonValue](limits.allowed_domains)
    if limits.blocked_domains:
        fixed["blocked_domains"] = list[JsonValue](limits.blocked_domains)
    if country:
        fixed["region"] = _region(country)
    described = f"{tool.description} The person is in {location}." if location else tool.description
    return _Hosted(tool, fixed, limits, "unavailable").tool(("query",), described)


def limit_fetch(tool: Tool, limits: WebLimits, *, max_tokens: int | None = None) -> Tool:
    """``web_fetch`` within the request's limits.

    Args:
        tool: the configured tool.
        limits: apply to the requested URL and to redirects.
        max_tokens: maximum tokens of a page read at once.
    """
    fixed: JsonObject = {}
    if max_tokens is not None:
        low, high = _bounds(tool, "max_tokens")
        fixed["max_tokens"] = min(max(max_tokens, low), high)
    hosted = _Hosted(tool, fixed, limits, "url_not_accessible")
    return hosted.tool(("url", "start", "find"), tool.description)


@dataclass(slots=True)
class _Hosted:
    """A web tool restricted for one request."""

    base: Tool
    fixed: JsonObject
    limits: WebLimits
    usual_code: str
    """Error code of failures without a code of their own."""
    num_uses: int = field(default=0)

    def tool(self, names: Sequence[str], description: str) -> Tool:
        """The restricted tool, with only these parameters."""
        properties = self.base.parameters["properties"]
        assert isinstance(properties, dict)
        parameters: JsonObject = {
            **self.base.parameters,
            "properties": {name: properties[name] for name in names},
        }
        return replace(self.base, description=description, parameters=parameters, call=self.call)

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call the tool; a failure becomes a result with an error code."""
        try:
            return await self._checked(arguments, context)
        except ToolError as error:
            # The client displays its own message for the code.
            code: JsonObject = {"error_code": error.code or self.usual_code}
            return ToolOutput((TextPart(str(error)),), code, is_error=True)

    async def _checked(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        limits = self.limits
        if limits.max_uses is not None and self.num_uses >= limits.max_uses:
            raise ToolError(
                f"{self.base.name} may be used {limits.max_uses} times and was: answer with what "
                "is known",
                code="max_uses_exceeded",
            )
        self.num_uses += 1
        self._check_address(arguments.get("url"))
        assert self.base.call is not None, "web tools have a call"

        def check_policy(argument: str, value: JsonValue) -> None:
            """Check the configured policy, and the request's domains for URLs."""
            context.check_policy(argument, value)
            if argument == "url":
                self._check_address(value)

        limited = replace(context, check_policy=check_policy)
        return await self.base.call({**arguments, **self.fixed}, limited)

    def _check_address(self, url: JsonValue) -> None:
        if isinstance(url, str) and not self.limits.allows(url):
            raise ToolError(
                "this address is not on a site that may be read here: use another",
                code="url_not_allowed",
            )


def _region(country: str) -> str:
    """The region code of search engines: the country and its most spoken language."""
    from babel.core import get_global  # heavy

    code = country.lower()
    likely = get_global("likely_subtags").get(f"und_{country.upper()}", "en")
    return f"{'uk' if code == 'gb' else code}-{likely.partition('_')[0]}"


def _bounds(tool: Tool, name: str) -> tuple[int, int]:
    properties = tool.parameters["properties"]
    assert isinstance(properties, dict)
    schema = properties[name]
    assert isinstance(schema, dict)
    low, high = schema["minimum"], schema["maximum"]
    assert isinstance(low, int)
    assert isinstance(high, int)
    return low, high
