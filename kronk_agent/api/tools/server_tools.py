"""The web tools as a request hosts them: the configured ones, within what the request allows.

The limits are enforced here and not left to the model, which sees a smaller tool: what a request
fixes is not in its schema.
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
    """What a request allows one of the web tools.

    Raises:
        InvalidRequestError: what is given as a domain is none, or there are too many.
    """

    max_uses: int | None = None
    """Calls in this request at most."""
    allowed_domains: tuple[str, ...] = ()
    """Only these and what is below them; empty is all."""
    blocked_domains: tuple[str, ...] = ()
    param: str | None = None
    """Where in the request the tool is, for errors."""

    def __post_init__(self) -> None:
        for name in ("allowed_domains", "blocked_domains"):
            domains = getattr(self, name)
            path = f"{self.param}.{name}" if self.param else name
            if len(domains) > _MAX_DOMAINS:
                raise InvalidRequestError(
                    f"{path}: at most {_MAX_DOMAINS}, not {len(domains)}", param=path
                )
            for domain in domains:
                if not _DOMAIN.fullmatch(domain):
                    raise InvalidRequestError(
                        f"{path}: {domain!r} is not a domain: give the name alone, such as "
                        "docs.python.org, without a scheme or a path",
                        param=path,
                    )

    def allows(self, url: str) -> bool:
        """Is the address on a domain that is allowed?"""
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
    """``web_search``, with as many pages as OpenAI's sizes stand for where a call does not say."""
    call = search.call
    assert call is not None, "the web tools are ours"
    number = _NUM_RESULTS[size or "medium"]

    async def counted(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        return await call({"max_results": number, **arguments}, context)

    return replace(search, call=counted)


def resource_toolset(toolsets: Sequence[Toolset]) -> list[Toolset]:
    """What reads on in results of MCP servers that were cut, where there is such a thing."""
    return [toolset for toolset in toolsets if toolset.name == "resources"]


def require_ready(status: ServerStatus, path: str) -> None:
    """See that an MCP server is there, or will be.

    Raises:
        HttpError: it failed, or is switched off (424).
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
    """What an MCP server calls its tool; the first ``__`` ends the server's prefix."""
    return name.partition("__")[2] or name


def limit_search(
    tool: Tool, limits: WebLimits, *, country: str | None = None, path: str | None = None
) -> Tool:
    """``web_search``, with what the model asks for alone left to it.

    Args:
        tool: the configured one.
        country: where the person is, ISO 3166-1; for results in its language.
        place: the same in words, for the model.
    """
    fixed: JsonObject = {}
    if limits.allowed_domains:
        fixed["allowed_domains"] = list[JsonValue](limits.allowed_domains)
    if limits.blocked_domains:
        fixed["blocked_domains"] = list[JsonValue](limits.blocked_domains)
    if country:
        fixed["region"] = _region(country)
    described = f"{tool.description} The person is in {path}." if path else tool.description
    return _Hosted(tool, fixed, limits, "unavailable").tool(("query",), described)


def limit_fetch(tool: Tool, limits: WebLimits, *, max_tokens: int | None = None) -> Tool:
    """``web_fetch``, within the request's limits.

    Args:
        tool: the configured one.
        limits: hold for the address that is asked for, and for the one it redirects to.
        max_tokens: how much of a page is read at once.
    """
    fixed: JsonObject = {}
    if max_tokens is not None:
        low, high = _bounds(tool, "max_tokens")
        fixed["max_tokens"] = min(max(max_tokens, low), high)
    hosted = _Hosted(tool, fixed, limits, "url_not_accessible")
    return hosted.tool(("url", "start", "find"), tool.description)


@dataclass(slots=True)
class _Hosted:
    """One of the tools in one request."""

    base: Tool
    fixed: JsonObject
    limits: WebLimits
    usual_code: str
    """Of failures that have none of their own."""
    num_uses: int = field(default=0)

    def tool(self, names: Sequence[str], description: str) -> Tool:
        properties = self.base.parameters["properties"]
        assert isinstance(properties, dict)
        parameters: JsonObject = {
            **self.base.parameters,
            "properties": {name: properties[name] for name in names},
        }
        return replace(self.base, description=description, parameters=parameters, call=self.call)

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        try:
            return await self._checked(arguments, context)
        except ToolError as error:
            # The code is for the client, which has words of its own for it.
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
        assert self.base.call is not None, "the web tools are ours"

        def check_policy(argument: str, value: JsonValue) -> None:
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
    """As search engines have it: the country and its most spoken language."""
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
