"""Translates keys of other MCP hosts, so that their entries work unchanged in ``mcp_servers``.

Covers Claude Desktop, Claude Code, VS Code, Cursor, Cline and its forks, Gemini CLI, Codex, fastmcp
and the MCP Inspector. Keys for unsupported features are refused by name, with a remedy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from kronk_agent.config.yaml.sourced import KeyPath, SourcedValue, merge, nest
from kronk_agent.config.yaml.variables import escape
from kronk_agent.errors import ConfigError

_Translation: TypeAlias = "SourcedValue | None"
"""A foreign key in our schema, relative to the server; None if nothing is needed."""


class _TranslationError(Exception):
    """A foreign key or value is not supported; the message says what to do."""


def translate_keys(tree: SourcedValue) -> tuple[SourcedValue, list[ConfigError]]:
    """Return the tree with foreign keys translated to ours, and the mistakes found."""
    mistakes: list[ConfigError] = []
    top = dict(tree.value) if isinstance(tree.value, dict) else {}
    if (pasted := top.pop("mcpServers", None)) is not None:
        if "mcp_servers" in top:
            message = "is the same as mcp_servers, which is also given: merge the two"
            mistakes.append(pasted.origin.mistake(message, ("mcpServers",)))
        else:
            top["mcp_servers"] = pasted
    servers = top.get("mcp_servers")
    if servers is not None and isinstance(servers.value, dict):
        children = {
            name: _server(server, ("mcp_servers", name), mistakes)
            for name, server in servers.value.items()
        }
        top["mcp_servers"] = replace(servers, value=children)
    return replace(tree, value=top), mistakes


def _server(server: SourcedValue, path: KeyPath, mistakes: list[ConfigError]) -> SourcedValue:
    if not isinstance(server.value, dict):
        return server
    translated = SourcedValue(
        {k: n for k, n in server.value.items() if k not in _KEY_TRANSLATIONS}, server.origin
    )
    for key, node in server.value.items():
        try:
            if key in _KEY_TRANSLATIONS and (found := _KEY_TRANSLATIONS[key](node)) is not None:
                _check_duplicates(translated, found)
                translated = merge(found, translated)
        except _TranslationError as refused:
            mistakes.append(node.origin.mistake(str(refused), (*path, key)))
    assert isinstance(translated.value, dict)
    value = dict(translated.value)
    for key, translate in _VALUE_TRANSLATIONS.items():
        if key in value:
            try:
                value[key] = translate(value[key])
            except _TranslationError as refused:
                mistakes.append(value.pop(key).origin.mistake(str(refused), (*path, key)))
    return _translate_variables(replace(server, value=value), path, mistakes)


def _check_duplicates(translated: SourcedValue, found: SourcedValue) -> None:
    """Raise if one setting is given under two names, whose values would conflict."""
    assert isinstance(translated.value, dict)
    assert isinstance(found.value, dict)
    for key, node in found.value.items():
        existing = translated.value.get(key)
        if existing is None:
            continue
        if not (isinstance(existing.value, dict) and isinstance(node.value, dict)):
            raise _TranslationError(f"is the same as {key}, which is also given: remove one")


# --- variables -------------------------------------------------------------------------------

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<kind>env:|input:|workspaceFolder\}|userHome\})")


def _translate_variables(
    node: SourcedValue, path: KeyPath, mistakes: list[ConfigError]
) -> SourcedValue:
    match node.value:
        case dict() as children:
            value = {
                key: _translate_variables(child, (*path, key), mistakes)
                for key, child in children.items()
            }
            return replace(node, value=value)
        case list() as items:
            below = [
                _translate_variables(x, (*path, index), mistakes) for index, x in enumerate(items)
            ]
            return replace(node, value=below)
        case str() as text if "${" in text:
            if match := re.search(r"(?<!\$)\$\{input:([^}]*)\}", text):
                name = re.sub(r"\W", "_", match[1]).upper()
                message = (
                    f"${{input:{match[1]}}} is not supported: set an environment variable, "
                    f"such as {name}, and write ${{{name}}}"
                )
                mistakes.append(node.origin.mistake(message, path))
                return replace(node, value="", text="")
            ours = _VARIABLE.sub(_translate_variable, text)
            return replace(node, value=ours, text=ours)
        case _:
            return node


def _translate_variable(match: re.Match[str]) -> str:
    match match["kind"]:
        case "env:":
            return "${"
        case "workspaceFolder}":
            return escape(str(Path.cwd()))
        case _:
            return escape(str(Path.home()))


# --- keys ------------------------------------------------------------------------------------


def _renamed(*path: str) -> Callable[[SourcedValue], _Translation]:
    return lambda node: nest(path, node)


def _unsupported(message: str) -> Callable[[SourcedValue], _Translation]:
    def refuse(node: SourcedValue) -> _Translation:
        raise _TranslationError(message)

    return refuse


def _enabled(node: SourcedValue) -> _Translation:
    if not isinstance(node.value, bool):
        raise _TranslationError("must be true or false")
    return nest(("disabled",), _replaced(node, not node.value))


def _http_url(node: SourcedValue) -> _Translation:
    return SourcedValue({"url": node, "type": _replaced(node, "http")}, node.origin)


def _milliseconds(*path: str) -> Callable[[SourcedValue], _Translation]:
    def translate(node: SourcedValue) -> _Translation:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise _TranslationError("must be a number")
        return nest(path, _replaced(node, node.value / 1000))

    return translate


def _approved(node: SourcedValue) -> _Translation:
    """Translate a list of auto-approved tools; the host asks about all other tools."""
    if not isinstance(node.value, list):
        raise _TranslationError("must be a list, such as [a, b]")
    if any(isinstance(item.value, list | dict) for item in node.value):
        raise _TranslationError("must be a list of names")
    policy = {str(item.value): _replaced(item, "allow") for item in node.value}
    policy.setdefault("*", _replaced(node, "ask"))
    return nest(("policy",), SourcedValue(policy, node.origin))


def _bearer_from(node: SourcedValue) -> _Translation:
    return nest(("headers", "Authorization"), _replaced(node, f"Bearer {_variable(node)}"))


def _headers_from(node: SourcedValue) -> _Translation:
    if not isinstance(node.value, dict):
        raise _TranslationError("must be a mapping, with 'key: value' lines")
    headers = {name: _replaced(value, _variable(value)) for name, value in node.value.items()}
    return nest(("headers",), SourcedValue(headers, node.origin))


def _auth(node: SourcedValue) -> _Translation:
    match node.value:
        case "oauth":
            return None  # OAuth is used automatically if a server requires it
        case str() as token:
            return nest(("headers", "Authorization"), _replaced(node, f"Bearer {token}"))
        case dict() as keys:
            renamed = {str(_CURSOR_OAUTH.get(key, key)): value for key, value in keys.items()}
            return nest(("oauth",), SourcedValue(renamed, node.origin))
        case _:
            raise _TranslationError("must be oauth, a token, or a mapping with CLIENT_ID")


_CURSOR_OAUTH = {"CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret"}


def _protocol_era(node: SourcedValue) -> _Translation:
    is_modern = node.value == "modern"
    return nest(("protocol",), _replaced(node, "2026-07-28") if is_modern else node)


_NO_SANDBOX = (
    "sandboxes are not supported: set command to a sandbox, such as bwrap, docker or firejail, "
    "and put the program into args"
)
_NO_METADATA = "the authorization server is discovered from the server: remove it"

_KEY_TRANSLATIONS: Mapping[str, Callable[[SourcedValue], _Translation]] = {
    "auth": _auth,
    "authProviderType": _unsupported(
        "only OAuth is supported: put a token into headers, as ${VAR}"
    ),
    "autoApprove": _approved,
    "alwaysAllow": _approved,
    "bearer_token_env_var": _bearer_from,
    "dev": _unsupported("development mode is not supported: remove it"),
    "disabledTools": _renamed("tools", "deny"),
    "disabled_tools": _renamed("tools", "deny"),
    "enabled": _enabled,
    "enabledTools": _renamed("tools", "allow"),
    "enabled_tools": _renamed("tools", "allow"),
    "envFile": _renamed("env_file"),
    "env_http_headers": _headers_from,
    "env_vars": _renamed("inherit_env"),
    "excludeTools": _renamed("tools", "deny"),
    "gallery": _unsupported("applies to VS Code only: remove it"),
    "headersHelper": _unsupported("not supported: put the headers into headers, as ${VAR}"),
    "httpUrl": _http_url,
    "http_headers": _renamed("headers"),
    "icon": _unsupported("icons are not supported: remove it"),
    "includeTools": _renamed("tools", "allow"),
    "keep_alive": _unsupported("servers always run as long as kronk-agent: remove it"),
    "oauth_resource": _unsupported("the resource is always the server's url: remove it"),
    "protocolEra": _protocol_era,
    "sandbox": _unsupported(_NO_SANDBOX),
    "sandboxEnabled": _unsupported(_NO_SANDBOX),
    "scopes": lambda node: nest(("oauth", "scopes"), _scopes(node)),
    "startup_timeout_ms": _milliseconds("startup_timeout"),
    "startup_timeout_sec": _renamed("startup_timeout"),
    "tool_timeout_sec": _renamed("timeout"),
    "transport": _renamed("type"),
    "transportType": _renamed("type"),
}

FOREIGN_KEYS = frozenset(_KEY_TRANSLATIONS)
"""Keys of other hosts that are translated or refused with a remedy."""

_OAUTH_RENAMED = {
    "clientId": "client_id",
    "clientSecret": "client_secret",
    "callbackPort": "callback_port",
}
_OAUTH_REFUSED = {
    "authServerMetadataUrl": _NO_METADATA,
    "authorizationUrl": _NO_METADATA,
    "tokenUrl": _NO_METADATA,
    "registrationUrl": _NO_METADATA,
    "redirectUri": "the redirect goes to this machine: set its port with callback_port",
    "tokenParamName": "tokens are sent only in the Authorization header: remove it",
    "audiences": "tokens are always requested for the server's url: remove it",
}


def _oauth(node: SourcedValue) -> SourcedValue:
    if not isinstance(node.value, dict):
        return node
    translated: dict[str, SourcedValue] = {}
    for key, value in node.value.items():
        if key in _OAUTH_REFUSED:
            raise _TranslationError(f"{key}: {_OAUTH_REFUSED[key]}")
        if key == "enabled":
            if value.value is not True:
                raise _TranslationError(
                    "enabled: OAuth is used only if a server requires it: remove oauth"
                )
            continue
        name = _OAUTH_RENAMED.get(key, key)
        if name in translated:
            raise _TranslationError(f"{key} is the same as {name}, which is also given: remove one")
        translated[name] = _scopes(value) if name == "scopes" else value
    return replace(node, value=translated)


def _scopes(node: SourcedValue) -> SourcedValue:
    """Split scopes that are one text with spaces, as in OAuth and Claude Code."""
    if not isinstance(node.value, str):
        return node
    return SourcedValue([_replaced(node, scope) for scope in node.value.split()], node.origin)


def _type(node: SourcedValue) -> SourcedValue:
    names = {"streamable-http", "streamable_http", "streamableHttp"}
    return _replaced(node, "http") if node.value in names else node


_VALUE_TRANSLATIONS: Mapping[str, Callable[[SourcedValue], SourcedValue]] = {
    "oauth": _oauth,
    "type": _type,
}
"""Keys that we have too, but whose values other hosts write differently."""


# --- values ----------------------------------------------------------------------------------


def _replaced(node: SourcedValue, value: str | float) -> SourcedValue:
    """Return a scalar with the origin of ``node``."""
    return SourcedValue(value, node.origin, text=str(value))


def _variable(node: SourcedValue) -> str:
    name = node.value
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise _TranslationError("must name an environment variable")
    return f"${{{name}}}"
