"""Settings of an MCP server. Keys of other hosts are translated in ``foreign_keys``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kronk_agent.config.schema.base import Seconds, Section, ServerName, ToolPattern, Url
from kronk_agent.tools.policy import Permission as Permission

MAX_TIMEOUT_SECONDS = 7200

Transport: TypeAlias = Literal["stdio", "http", "sse"]


def _check_timeout(seconds: float) -> float:
    if seconds > MAX_TIMEOUT_SECONDS:
        message = f"must be at most {MAX_TIMEOUT_SECONDS} seconds"
        raise ValueError(f"{message} (some hosts use milliseconds; here the unit is seconds)")
    return seconds


def _check_https(url: str) -> str:
    if not url.startswith("https://"):
        raise ValueError("must start with https://")
    return url


HttpsUrl: TypeAlias = Annotated[
    str, AfterValidator(_check_https), Field(json_schema_extra={"pattern": "^https://"})
]
Timeout: TypeAlias = Annotated[
    Seconds,
    AfterValidator(_check_timeout),
    Field(json_schema_extra={"maximum": MAX_TIMEOUT_SECONDS}),
]


class ToolFilterConfig(Section):
    """Filter for a server's tools, by the server's names; * and ? are wildcards."""

    allow: tuple[str, ...] = ("*",)
    """Tools to offer."""
    deny: tuple[str, ...] = ()
    """Tools to hide; takes precedence over allow."""


class OAuthConfig(Section):
    """OAuth settings of a remote server."""

    flow: Literal["authorization_code", "client_credentials"] = "authorization_code"
    """authorization_code: a user signs in with `mcp login`; client_credentials: no user."""
    issuer: Url | None = None
    """Authorization server that client_id belongs to; only it gets the secret."""
    client_id: Annotated[str, Field(min_length=1)] | None = None
    """Client ID at the authorization server. null: dynamic registration, if supported."""
    client_secret: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """Client secret. Write it as ${VAR}."""
    private_key_file: Path | None = None
    """PEM file of a private key, instead of a secret; for client_credentials."""
    signing_algorithm: Literal["ES256", "ES384", "RS256", "PS256", "EdDSA"] = "ES256"
    """Algorithm of the private key."""
    client_metadata_url: HttpsUrl | None = None
    """URL of your client metadata document, if the server accepts one as client_id."""
    scopes: tuple[str, ...] = ()
    """Scopes to request. Empty: the scopes that the server asks for."""
    callback_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Local port of the OAuth redirect. null: any free port."""

    @model_validator(mode="after")
    def _check_flow_keys(self) -> OAuthConfig:
        if self.flow == "client_credentials":
            if self.client_id is None or self.issuer is None:
                raise ValueError("client_credentials requires client_id and issuer")
            if (self.client_secret is None) == (self.private_key_file is None):
                raise ValueError("client_credentials requires client_secret or private_key_file")
            return self
        if self.private_key_file is not None:
            raise ValueError("private_key_file: only with flow: client_credentials")
        if self.client_id is None and (self.client_secret or self.issuer):
            raise ValueError("client_secret and issuer require client_id")
        return self


class McpServerConfig(Section):
    """An MCP server: either a command to start (stdio) or a URL (HTTP)."""

    command: Annotated[str, Field(min_length=1)] | None = None
    """Program to start."""
    args: tuple[str, ...] = ()
    """Command-line arguments of the program."""
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    """Added to the minimal environment of the program (HOME, LOGNAME, PATH, SHELL, TERM, USER)."""
    env_file: Path | None = None
    """File of NAME=value lines, added too; env takes precedence."""
    inherit_env: tuple[str, ...] = ()
    """Environment variables to pass on to the program; * and ? are wildcards."""
    cwd: Path | None = None
    """Working directory of the program. null: that of kronk-agent."""
    url: Url | None = None
    """URL of the server."""
    type: Transport | None = None
    """stdio, http (streamable) or sse (before 2025).

    null: stdio with command; sse for a url that ends in /sse; otherwise http.
    """
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """HTTP headers of every request, e.g. Authorization."""
    oauth: OAuthConfig = OAuthConfig()
    """OAuth settings, used if the server requires OAuth and headers has no Authorization."""
    protocol: Literal["auto", "legacy", "2026-07-28"] = "auto"
    """auto negotiates the version; legacy is for old servers that do not answer to that."""
    disabled: bool = False
    """true: do not start the server."""
    required: bool = False
    """true: fail if the server does not start."""
    startup_timeout: Timeout = 30.0
    """Seconds until the tools are listed."""
    timeout: Timeout = 60.0
    """Seconds a call may take without an answer or progress."""
    prefix: ServerName | None = None
    """Prefix of its tool names. null: the server's name."""
    tools: ToolFilterConfig = ToolFilterConfig()
    """Tools to offer or hide."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """Rules for tool calls, as in the top-level policy, with the server's own tool names."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = 4000
    """Approximate tokens of a result given at once; the model can read the rest.

    null: as many as fit the context.
    """
    max_instructions_tokens: Annotated[int, Field(ge=0)] = 500
    """Approximate tokens of the server's instructions in the system prompt. 0: none."""
    trust: bool = False
    """true: changed tools are not quarantined and descriptions are not scanned."""
    roots: tuple[Path, ...] = ()
    """Directories the server is told it may use."""
    sampling: Permission = "ask"
    """Permission for the server to send requests to the model (MCP sampling)."""
    elicitation: Literal["ask", "deny"] = "ask"
    """Permission for the server to ask the user for input (MCP elicitation)."""
    description: str = ""
    """Description, shown by `mcp list`."""

    _problem: str | None = PrivateAttr(default=None)

    @property
    def problem(self) -> str | None:
        """Why the server cannot be started, e.g. an unset variable; None if it can."""
        return self._problem

    def with_problem(self, problem: str) -> McpServerConfig:
        """Return a copy that is marked as unusable."""
        copy = self.model_copy()
        copy._problem = problem
        return copy

    @property
    def transport(self) -> Transport:
        """The transport: ``type``, or derived from command and url."""
        if self.type is not None:
            return self.type
        if self.url is None:
            return "stdio"
        # Not urlsplit: it raises on malformed URLs, which get here too.
        path = re.split(r"[?#]", self.url, maxsplit=1)[0]
        return "sse" if path.rstrip("/").endswith("/sse") else "http"

    @model_validator(mode="after")
    def _check_transport(self) -> McpServerConfig:
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either command (a program to start) or url")
        if (self.transport == "stdio") != (self.url is None):
            raise ValueError(
                "type: stdio requires command, http and sse require url: remove or correct type"
            )
        stdio_only = ("args", "env", "env_file", "inherit_env", "cwd")
        wrong = stdio_only if self.url is not None else ("headers", "oauth")
        given = [name for name in wrong if name in self.model_fields_set and getattr(self, name)]
        if given and self.url is not None:
            raise ValueError(f"{', '.join(given)}: supported only with command, not with url")
        if given:
            raise ValueError(f"{', '.join(given)}: supported only with url, not with command")
        return self

    @model_serializer(mode="wrap")
    def _serialize_set_keys(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = dump(self)
        fields = McpServerConfig.model_fields
        return {
            key: value
            for key, value in written.items()
            if getattr(self, key) != fields[key].get_default(call_default_factory=True)
        }
