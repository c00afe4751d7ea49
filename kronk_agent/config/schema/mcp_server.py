"""What the file may say of an MCP server. The keys other hosts use are in ``pasted``."""

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
        words = f"must be at most {MAX_TIMEOUT_SECONDS} seconds"
        raise ValueError(f"{words} (some hosts give milliseconds; here it is seconds)")
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
    """Which of a server's tools there are, by their own names; * and ? stand for any text."""

    allow: tuple[str, ...] = ("*",)
    """Those there are."""
    deny: tuple[str, ...] = ()
    """Those there are not, even when allowed."""


class OAuthConfig(Section):
    """How kronk-agent signs in to a remote server that wants OAuth."""

    flow: Literal["authorization_code", "client_credentials"] = "authorization_code"
    """authorization_code: a person signs in, by `mcp login`. client_credentials: a program does."""
    issuer: Url | None = None
    """The authorization server that client_id is for; nobody else gets to see the secret."""
    client_id: Annotated[str, Field(min_length=1)] | None = None
    """Who we are to the authorization server. null: we register, where it lets us."""
    client_secret: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """The secret that goes with it. Write it as ${VAR}."""
    private_key_file: Path | None = None
    """A PEM file that signs who we are in place of a secret; for client_credentials."""
    signing_algorithm: Literal["ES256", "ES384", "RS256", "PS256", "EdDSA"] = "ES256"
    """What the private key signs with."""
    client_metadata_url: HttpsUrl | None = None
    """A client metadata document of your own, where the server takes one as client_id."""
    scopes: tuple[str, ...] = ()
    """What to ask for. Empty: what the server says it needs."""
    callback_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port on this machine where the browser comes back to. null: any that is free."""

    @model_validator(mode="after")
    def _what_the_flow_takes(self) -> OAuthConfig:
        if self.flow == "client_credentials":
            if self.client_id is None or self.issuer is None:
                raise ValueError("client_credentials needs client_id and issuer")
            if (self.client_secret is None) == (self.private_key_file is None):
                raise ValueError("client_credentials needs client_secret or private_key_file")
            return self
        if self.private_key_file is not None:
            raise ValueError("private_key_file: only with flow: client_credentials")
        if self.client_id is None and (self.client_secret or self.issuer):
            raise ValueError("client_secret and issuer need client_id")
        return self


class McpServerConfig(Section):
    """One MCP server: either a command to start (stdio) or a URL (HTTP)."""

    command: Annotated[str, Field(min_length=1)] | None = None
    """Program to start."""
    args: tuple[str, ...] = ()
    """What the program is given on its command line."""
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    """Added to the small environment the program gets (HOME, LOGNAME, PATH, SHELL, TERM, USER)."""
    env_file: Path | None = None
    """A file of NAME=value lines, added too; env wins over it."""
    inherit_env: tuple[str, ...] = ()
    """Variables of ours the program gets as well; * and ? stand for any text."""
    cwd: Path | None = None
    """Folder the program runs in. null: the one kronk-agent runs in."""
    url: Url | None = None
    """Where the server is reached."""
    type: Transport | None = None
    """stdio, http (streamable) or sse (of before 2025). null: command is stdio, a url that ends in
    /sse is sse, another http."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Sent with every request, e.g. Authorization."""
    oauth: OAuthConfig = OAuthConfig()
    """How to sign in, where the server wants OAuth and headers has no Authorization."""
    protocol: Literal["auto", "legacy", "2026-07-28"] = "auto"
    """auto asks the server; legacy is for old servers that do not answer when asked."""
    disabled: bool = False
    """true leaves the server alone."""
    required: bool = False
    """true ends the program when the server does not start."""
    startup_timeout: Timeout = 30.0
    """Seconds until the tools must be listed."""
    timeout: Timeout = 60.0
    """Seconds one call may take without an answer or a sign of progress."""
    prefix: ServerName | None = None
    """What the names of its tools begin with. null: the server's name."""
    tools: ToolFilterConfig = ToolFilterConfig()
    """Which of its tools there are."""
    policy: dict[ToolPattern, Permission] = Field(default_factory=dict)
    """May a tool be called: allow, ask or deny, by its own name, as under policy of the whole."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = 4000
    """About how many tokens of a result are given at once; the model can read on. null: as many as
    the context has room for, and no more."""
    max_instructions_tokens: Annotated[int, Field(ge=0)] = 500
    """About how many tokens of what the server says of its tools go into the system prompt. 0: none
    of it."""
    trust: bool = False
    """true: changed tools are not quarantined and descriptions are not scanned."""
    roots: tuple[Path, ...] = ()
    """Folders the server is told it may work in."""
    sampling: Permission = "ask"
    """May the server ask our model something?"""
    elicitation: Literal["ask", "deny"] = "ask"
    """May the server ask you something?"""
    description: str = ""
    """What it is for; `mcp list` shows it."""

    _problem: str | None = PrivateAttr(default=None)

    @property
    def problem(self) -> str | None:
        """Why it cannot be started as it is configured, such as an environment variable that is
        not set; None where nothing is known to be wrong."""
        return self._problem

    def with_problem(self, problem: str) -> McpServerConfig:
        """The same server, known to be unusable."""
        copy = self.model_copy()
        copy._problem = problem
        return copy

    @property
    def transport(self) -> Transport:
        """The type, found out where it is not given."""
        if self.type is not None:
            return self.type
        if self.url is None:
            return "stdio"
        # Malformed URLs reach this too, which the standard parser refuses.
        path = re.split(r"[?#]", self.url, maxsplit=1)[0]
        return "sse" if path.rstrip("/").endswith("/sse") else "http"

    @model_validator(mode="after")
    def _one_transport(self) -> McpServerConfig:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either command (a program to start) or url, one of the two")
        if (self.transport == "stdio") != (self.url is None):
            raise ValueError(
                "type: stdio goes with command, http and sse with url: remove type, or correct it"
            )
        stdio_only = ("args", "env", "env_file", "inherit_env", "cwd")
        wrong = stdio_only if self.url is not None else ("headers", "oauth")
        given = [name for name in wrong if name in self.model_fields_set and getattr(self, name)]
        if given and self.url is not None:
            raise ValueError(f"{', '.join(given)}: only with command, not with url")
        if given:
            raise ValueError(f"{', '.join(given)}: only with url, not with command")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = dump(self)
        fields = McpServerConfig.model_fields
        return {
            key: value
            for key, value in written.items()
            if getattr(self, key) != fields[key].get_default(call_default_factory=True)
        }
