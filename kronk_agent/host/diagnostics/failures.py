"""Error messages about servers: one line with the server's name, the reason and a remedy.

The SDK's exceptions say little (every early exit is "Connection closed"), so they are combined with
the diagnostics of the connection. Secrets are redacted.
"""

from __future__ import annotations

import json
import os
import re

import anyio
import httpx2
from mcp import MCPError
from mcp.client.auth import OAuthFlowError
from mcp.types import CONNECTION_CLOSED
from pydantic import ValidationError

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.config.secrets import looks_secret, secrets_in_args
from kronk_agent.errors import ServerUnavailableError, ToolError, unwrap
from kronk_agent.host.diagnostics.errors import StartError
from kronk_agent.host.diagnostics.log import ServerLog
from kronk_agent.host.diagnostics.sign_in import problem_of, sign_in_problem, sign_in_remedy
from kronk_agent.host.tools.sanitize import strip_invisible
from kronk_agent.host.transport.connection_state import ConnectionState, RequestState
from kronk_agent.host.transport.environment import added_environment
from kronk_agent.host.transport.http import EndpointError
from kronk_agent.host.transport.messages import SyntheticErrorCode
from kronk_agent.host.transport.sessions import is_session_unknown
from kronk_agent.redaction import Redactor, secrets_in_headers, secrets_in_url

CALL_FAILURES = (
    MCPError,
    RuntimeError,
    ValueError,
    TimeoutError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""Everything that using a connection raises: errors from the server, a lost connection, results
that violate their own schema or are not MCP, a write that timed out."""

_LOST = (
    "went away during the call and is being started again: whether the call took effect is unknown"
)
_EFFECT = "it may have had an effect, so look before you repeat it"
_FROM_A_PROXY = (502, 504)
"""The server behind the proxy may have received the request."""
_ACCEPTED = "server answered a request with 202 Accepted"
"""The SDK's message for an answer that will never arrive."""
_MAX_LENGTH = 600
_MAX_DATA = 300
_MAX_QUOTED = 120
_NOISE_LENGTH = 80
_MIN_SECRET_LENGTH = 6
# Also matches malformed URLs, which the standard parser refuses.
_URL = re.compile(r"(https?://)(?:[^/?#]*@)?([^?#]*)")


def start_failure(
    name: str,
    config: McpServerConfig,
    error: Exception,
    connection_state: ConnectionState,
    log: ServerLog,
) -> StartError:
    """Explain why the server did not get as far as listing its tools."""
    cause = unwrap(error)
    if config.url is None:
        reason = _stdio_reason(name, config, cause, connection_state, log)
    else:
        reason = _http_reason(name, config.url, cause, connection_state)
    return StartError(
        _line(name, config, reason),
        is_early_exit=_is_closed(cause),
        http_status=connection_state.http_status,
    )


def late_start(
    name: str, config: McpServerConfig, connection_state: ConnectionState, log: ServerLog
) -> str:
    """Explain that the server exceeded its ``startup_timeout``."""
    reason = (
        f"did not list its tools within {config.startup_timeout:g} s"
        f"{_noise(config, connection_state)}"
        f"{'' if config.url else _exit_reason(log)}"
        f": raise mcp_servers.{name}.startup_timeout if it is slow, "
        "or set its protocol to legacy if it is old"
    )
    return _line(name, config, reason)


def call_failure(
    name: str,
    config: McpServerConfig,
    error: Exception,
    *,
    is_lost: bool,
    request_state: RequestState,
    request: str = "call",
    log: ServerLog | None = None,
) -> ToolError:
    """Explain to the model why a request failed.

    Args:
        is_lost: True if the connection was lost during the request.
        request_state: diagnostics of the request.
        request: what to call the request.
        log: log of a local program, which may say why it ended; None for a remote server.
    """
    status = request_state.http_status
    lost = f"{_LOST}{_exit_reason(log) if log else ''}"
    match error:
        case MCPError() if status in (401, 403) and not is_session_unknown(
            request_state.refusal_text
        ):
            token = f"mcp_servers.{name}.headers"
            reason = f"refused the {request} (HTTP {status}): give a valid token in {token}"
        case MCPError() if status is not None and not is_lost:
            effect = f": {_EFFECT}" if status in _FROM_A_PROXY else ""
            text = request_state.refusal_text or _error_text(error)
            reason = f"failed to answer the {request} (HTTP {status}): {text}{effect}"
        case MCPError(code=SyntheticErrorCode.UNREADABLE):
            what = _unreadable(error, request_state.refusal_text)
            reason = f"answered the {request} with something that is not MCP: {what}"
        case MCPError() if _is_cut_off(error):
            reason = f"broke off before it answered the {request} ({error.message}): {_EFFECT}"
        case MCPError() if is_lost or _is_closed(error):
            reason = lost
        case anyio.BrokenResourceError() | anyio.ClosedResourceError():
            reason = lost
        case MCPError():
            reason = f"refused the {request}: {_error_text(error)}"
        case ValidationError():
            reason = f"answered the {request} with something that is not MCP: {problem_of(error)}"
        case _:
            reason = f"answered the {request} with a broken result: {_first_line(error)}"
    return ToolError(_line(name, config, reason))


def _stdio_reason(
    name: str,
    config: McpServerConfig,
    cause: BaseException,
    connection_state: ConnectionState,
    log: ServerLog,
) -> str:
    key = f"mcp_servers.{name}"
    match cause:
        case ServerUnavailableError():
            return str(cause)
        case OSError() if config.cwd is not None and not config.cwd.is_dir():
            return f"cannot start in {config.cwd}, which is not a directory: correct {key}.cwd"
        case FileNotFoundError():
            return (
                f"cannot start: {config.command!r} was not found: "
                f"install it, or give its full path in {key}.command"
            )
        case OSError():
            return f"cannot start {config.command!r}: {cause.strerror}: correct {key}.command"
        case MCPError() if _is_closed(cause):
            return (
                f"exited before it listed its tools{_noise(config, connection_state)}"
                f"{_exit_reason(log)}: "
                f"run {config.command!r} by hand to see why; its output is in {log.path}"
            )
        case _:
            remedy = f"update it, or try another {key}.protocol (auto, legacy, 2026-07-28)"
            return f"{_handshake_problem(cause)}: {remedy}"


def _http_reason(
    name: str, url: str, cause: BaseException, connection_state: ConnectionState
) -> str:
    key, where = f"mcp_servers.{name}", _address(url)
    match cause:
        case ServerUnavailableError():
            return str(cause)
        case EndpointError():
            return f"{cause}: correct {key}.url, or the public address it is told behind a proxy"
        case OAuthFlowError():  # and OAuthTokenError, OAuthRegistrationError
            return (
                f"did not let us sign in ({sign_in_problem(cause)}): {sign_in_remedy(name, cause)}"
            )
        case httpx2.ConnectError():
            return f"cannot be reached at {where} ({cause}): start it, or correct {key}.url"
        case httpx2.TimeoutException():
            return f"does not answer at {where}: see whether it hangs, or correct {key}.url"
        case httpx2.HTTPError() | httpx2.InvalidURL():
            return f"failed at {where} ({cause}): correct {key}.url"
    if connection_state.posted_to is not None and connection_state.http_status not in (401, 403):
        text = f"names the endpoint {_path(connection_state.endpoint or '')!r} to post to"
        posted = (
            f"{_address(connection_state.posted_to)} answers HTTP {connection_state.http_status}"
        )
        return f"{text}, and {posted}: correct {key}.url, or the proxy in front of it"
    match connection_state.http_status:
        case 401:
            remedy = f"sign in with `kronk-agent mcp login {name}`, or give a valid token in"
            return f"refused us at {where} (HTTP 401): {remedy} {key}.headers"
        case 403 as status:
            return f"refused us at {where} (HTTP {status}): give a valid token in {key}.headers"
        case 404 | 405 as status:
            return f"is not at {where} (HTTP {status}): correct {key}.url, which often ends in /mcp"
        case int(status):
            return f"failed at {where} (HTTP {status}): look at its own log"
        case None:
            remedy = f"correct {key}.url, or try another {key}.protocol"
            return (
                f"{_handshake_problem(cause, connection_state.refusal_text)} at {where}: {remedy}"
            )


def _handshake_problem(cause: BaseException, text: str = "") -> str:
    match cause:
        case ValidationError():
            return f"answered with something that is not MCP ({problem_of(cause)})"
        case MCPError(code=SyntheticErrorCode.UNREADABLE):
            return f"answered with something that is not MCP ({_unreadable(cause, text)})"
        case MCPError():
            return f"answered with an error ({_error_text(cause)})"
        case _:
            return f"cannot be used ({_first_line(cause)})"


def _error_text(error: MCPError) -> str:
    """The error's message, with what its ``data`` adds."""
    data = error.error.data
    if data in (None, "", [], {}):
        return error.message
    more = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
    if more in error.message:
        return error.message
    return f"{error.message.rstrip(': ')}: {more[:_MAX_DATA]}"


def _unreadable(error: MCPError, text: str) -> str:
    return f"{error.message}, {text[:_MAX_QUOTED]!r}" if text else error.message


def _is_cut_off(error: MCPError) -> bool:
    """True if an answer was started or promised, and will not arrive."""
    is_stream = error.code == CONNECTION_CLOSED and "SSE stream" in error.message
    return is_stream or error.code == SyntheticErrorCode.CUT_OFF or error.message == _ACCEPTED


def _is_closed(error: BaseException) -> bool:
    # Servers use the SDK's code for their own errors too, so the message is compared as well.
    is_code = isinstance(error, MCPError) and error.code == CONNECTION_CLOSED
    return is_code and str(error) == "Connection closed"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _noise(config: McpServerConfig, connection_state: ConnectionState) -> str:
    if connection_state.noise is None:
        return ""
    # Redacted before truncation, which could cut a secret and leave a part of it.
    shown = redactor_of(config)(connection_state.noise)[:_NOISE_LENGTH]
    return f" and printed {shown!r} where MCP belongs"


def _exit_reason(log: ServerLog) -> str:
    words = log.tail()
    return f" ({words})" if words else ""


def _address(url: str) -> str:
    """The URL without user, password and query, which may be secret."""
    match = _URL.match(url)
    assert match is not None, "the configuration takes only http and https"
    return match[1] + match[2]


def _path(endpoint: str) -> str:
    """The endpoint without its query, which contains the session id."""
    return endpoint.partition("?")[0]


def _line(name: str, config: McpServerConfig, reason: str) -> str:
    text = " ".join(strip_invisible(redactor_of(config)(reason)).split())
    if len(text) > _MAX_LENGTH:
        text = f"{text[: _MAX_LENGTH // 2]} … {text[-_MAX_LENGTH // 2 :]}"
    return f"MCP server {name!r} {text}"


def redactor_of(config: McpServerConfig) -> Redactor:
    """Build a redactor for the secrets in a server's configuration."""
    try:
        added = added_environment(config, os.environ)
    except ServerUnavailableError:
        added = config.env
    return Redactor(
        [
            *(value for name, value in added.items() if _is_secret(name, value)),
            *secrets_in_args(config.args),
            *secrets_in_headers(config.headers),
            *secrets_in_url(config.url),
            config.oauth.client_secret,
        ]
    )


def _is_secret(name: str, value: str) -> bool:
    """True for long values given only to this server, and for names that look secret."""
    is_given = os.environ.get(name) != value
    return looks_secret(name) or (is_given and len(value) >= _MIN_SECRET_LENGTH)
