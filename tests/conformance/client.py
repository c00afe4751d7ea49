"""The MCP host as the client of the official conformance suite, which gives the URL to test last.

It lists the server's tools and calls them: those the suite names, or else all of them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp.shared.auth import AuthorizationCodeResult

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.schema.mcp_server import OAuthConfig
from kronk_agent.errors import ToolError
from kronk_agent.host import (
    ElicitAction,
    FormAnswer,
    FormElicitation,
    Host,
    SamplingApproval,
    ToolApproval,
    UrlElicitation,
)
from kronk_agent.host.oauth.flow import Browser, Logins, authentication
from kronk_agent.host.tools.naming import tool_names
from kronk_agent.messages import JsonObject
from kronk_agent.testing import invoke
from kronk_agent.tools import Tool

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
VERSION = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "")

REDIRECT = "http://localhost:3000/callback"


class Agreeable:
    """A person who leaves every form as it is and agrees to all else."""

    async def answer_form(self, form: FormElicitation) -> FormAnswer:
        return FormAnswer("accept")

    async def approve_url(self, elicitation: UrlElicitation) -> ElicitAction:
        return "accept"

    async def approve_sampling(self, approval: SamplingApproval) -> bool:
        return True

    async def approve_tool_call(self, approval: ToolApproval) -> bool:
        return True


async def main(url: str) -> None:
    config = McpServerConfig(
        url=url,
        protocol="legacy" if VERSION and VERSION < "2026" else "auto",
        timeout=20,
        oauth=OAuthConfig(
            client_id=CONTEXT.get("client_id"),
            client_secret=CONTEXT.get("client_secret"),
            client_metadata_url="https://conformance-test.local/client-metadata.json",
        ),
    )
    folder = Path(tempfile.mkdtemp())
    async with Host(
        {"suite": config},
        log_dir=folder,
        cache_dir=folder / "cache",
        pins_dir=folder / "pins",
        person=Agreeable(),
        authenticate=sign_in if SCENARIO.startswith("auth/") else None,
    ) as host:
        await host.wait_ready()
        (status,) = host.statuses()
        if status.error is not None:
            sys.exit(status.error)
        tools = {tool.name: tool for toolset in host.toolsets for tool in toolset.tools()}
        for name, arguments in wanted_calls(tools):
            try:
                await invoke(tools[name], arguments)
            except ToolError as error:
                print(error, file=sys.stderr)


def wanted_calls(tools: dict[str, Tool]) -> list[tuple[str, JsonObject]]:
    if named := CONTEXT.get("toolCalls"):
        names = {own: ours for ours, own in tool_names("suite", [c["name"] for c in named]).items()}
        return [
            (names[call["name"]], call.get("arguments") or {})
            for call in named
            if names[call["name"]] in tools
        ]
    return [
        (tool.name, some_arguments(tool.parameters))
        for tool in tools.values()
        if tool.name.startswith("suite__")
    ]


def some_arguments(schema: JsonObject) -> JsonObject:
    """Values of the right types for what is required."""
    of_type: JsonObject = {"integer": 1, "number": 2, "boolean": False, "object": {}, "array": []}
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {
        str(name): of_type.get(str(field.get("type")), "x") if isinstance(field, dict) else "x"
        for name in required
        if (field := properties.get(str(name))) is not None
    }


class ForNow:
    """Keeps logins for as long as the program runs."""

    location = "memory"

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self._texts.get(name)

    def write(self, name: str, text: str) -> None:
        self._texts[name] = text

    def delete(self, name: str) -> None:
        self._texts.pop(name, None)


LOGINS = Logins(ForNow())


async def sign_in(name: str, config: McpServerConfig) -> httpx2.Auth | None:
    """The suite's authorization server agrees at once: its answer is read from the redirect."""
    answer: dict[str, str] = {}

    async def visit(url: str) -> None:
        async with httpx2.AsyncClient() as browser:
            response = await browser.get(url, follow_redirects=False)
        query = parse_qs(urlsplit(response.headers["location"]).query)
        answer.update({key: values[0] for key, values in query.items()})

    async def wait_for_code() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=answer["code"], state=answer.get("state"), iss=answer.get("iss")
        )

    return await authentication(name, config, LOGINS, Browser(REDIRECT, visit, wait_for_code))


anyio.run(main, sys.argv[-1])
