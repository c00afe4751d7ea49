"""Blocks of other hosts, pasted into ``mcp_servers`` as they are: their keys become ours.

Claude Desktop, Claude Code, VS Code, Cursor, Cline and its kin, Gemini CLI, Codex, fastmcp and the
MCP Inspector. A key that means something we cannot do is refused by name, with what would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from kronk_agent.config.yaml.sourced import KeyPath, Node, merge, nest
from kronk_agent.config.yaml.variables import escape
from kronk_agent.errors import ConfigError

_Found: TypeAlias = "Node | None"
"""What stands for a foreign key in our terms, from the server down; None: nothing is needed."""


class _Refused(Exception):
    """Its text says what would do."""


def with_our_keys(tree: Node) -> tuple[Node, list[ConfigError]]:
    """The tree of a file with the keys of other hosts as ours, and the mistakes found."""
    mistakes: list[ConfigError] = []
    top = dict(tree.value) if isinstance(tree.value, dict) else {}
    if (pasted := top.pop("mcpServers", None)) is not None:
        if "mcp_servers" in top:
            words = "is mcp_servers, which is there too: put the servers of both into one"
            mistakes.append(pasted.origin.mistake(words, ("mcpServers",)))
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


def _server(server: Node, path: KeyPath, mistakes: list[ConfigError]) -> Node:
    if not isinstance(server.value, dict):
        return server
    own = Node({k: n for k, n in server.value.items() if k not in _FOREIGN}, server.origin)
    for key, node in server.value.items():
        try:
            if key in _FOREIGN and (found := _FOREIGN[key](node)) is not None:
                _refuse_twice(own, found)
                own = merge(found, own)
        except _Refused as refused:
            mistakes.append(node.origin.mistake(str(refused), (*path, key)))
    assert isinstance(own.value, dict)
    value = dict(own.value)
    for key, translate in _OURS.items():
        if key in value:
            try:
                value[key] = translate(value[key])
            except _Refused as refused:
                mistakes.append(value.pop(key).origin.mistake(str(refused), (*path, key)))
    return _with_our_variables(replace(server, value=value), path, mistakes)


def _refuse_twice(own: Node, found: Node) -> None:
    """One setting under two names has two values, and nobody could say which one counts."""
    assert isinstance(own.value, dict)
    assert isinstance(found.value, dict)
    for key, node in found.value.items():
        there = own.value.get(key)
        if there is None:
            continue
        if not (isinstance(there.value, dict) and isinstance(node.value, dict)):
            raise _Refused(f"is {key}, which is there too: remove one of the two")


# --- variables -------------------------------------------------------------------------------

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<kind>env:|input:|workspaceFolder\}|userHome\})")


def _with_our_variables(node: Node, path: KeyPath, mistakes: list[ConfigError]) -> Node:
    match node.value:
        case dict() as children:
            value = {
                key: _with_our_variables(child, (*path, key), mistakes)
                for key, child in children.items()
            }
            return replace(node, value=value)
        case list() as items:
            below = [
                _with_our_variables(x, (*path, index), mistakes) for index, x in enumerate(items)
            ]
            return replace(node, value=below)
        case str() as text if "${" in text:
            if match := re.search(r"(?<!\$)\$\{input:([^}]*)\}", text):
                name = re.sub(r"\W", "_", match[1]).upper()
                words = (
                    f"nobody is asked for ${{input:{match[1]}}}: set an environment variable, "
                    f"such as {name}, and write ${{{name}}}"
                )
                mistakes.append(node.origin.mistake(words, path))
                return replace(node, value="", text="")
            ours = _VARIABLE.sub(_our_variable, text)
            return replace(node, value=ours, text=ours)
        case _:
            return node


def _our_variable(match: re.Match[str]) -> str:
    match match["kind"]:
        case "env:":
            return "${"
        case "workspaceFolder}":
            return escape(str(Path.cwd()))
        case _:
            return escape(str(Path.home()))


# --- keys ------------------------------------------------------------------------------------


def _renamed(*path: str) -> Callable[[Node], _Found]:
    return lambda node: nest(path, node)


def _refused(words: str) -> Callable[[Node], _Found]:
    def refuse(node: Node) -> _Found:
        raise _Refused(words)

    return refuse


def _enabled(node: Node) -> _Found:
    if not isinstance(node.value, bool):
        raise _Refused("must be true or false")
    return nest(("disabled",), _instead(node, not node.value))


def _http_url(node: Node) -> _Found:
    return Node({"url": node, "type": _instead(node, "http")}, node.origin)


def _milliseconds(*path: str) -> Callable[[Node], _Found]:
    def translate(node: Node) -> _Found:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise _Refused("must be a number")
        return nest(path, _instead(node, node.value / 1000))

    return translate


def _approved(node: Node) -> _Found:
    """A list of tools that need no asking, in hosts that ask for all others."""
    if not isinstance(node.value, list):
        raise _Refused("must be a list, such as [a, b]")
    if any(isinstance(item.value, list | dict) for item in node.value):
        raise _Refused("must be a list of names")
    policy = {str(item.value): _instead(item, "allow") for item in node.value}
    policy.setdefault("*", _instead(node, "ask"))
    return nest(("policy",), Node(policy, node.origin))


def _bearer_from(node: Node) -> _Found:
    return nest(("headers", "Authorization"), _instead(node, f"Bearer {_variable(node)}"))


def _headers_from(node: Node) -> _Found:
    if not isinstance(node.value, dict):
        raise _Refused("must be a mapping, with 'key: value' lines")
    headers = {name: _instead(value, _variable(value)) for name, value in node.value.items()}
    return nest(("headers",), Node(headers, node.origin))


def _auth(node: Node) -> _Found:
    match node.value:
        case "oauth":
            return None  # that is what happens where a server wants it
        case str() as token:
            return nest(("headers", "Authorization"), _instead(node, f"Bearer {token}"))
        case dict() as keys:
            renamed = {str(_CURSOR_OAUTH.get(key, key)): value for key, value in keys.items()}
            return nest(("oauth",), Node(renamed, node.origin))
        case _:
            raise _Refused("must be oauth, a token, or a mapping with CLIENT_ID")


_CURSOR_OAUTH = {"CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret"}


def _protocol_era(node: Node) -> _Found:
    is_modern = node.value == "modern"
    return nest(("protocol",), _instead(node, "2026-07-28") if is_modern else node)


_NO_SANDBOX = (
    "kronk-agent starts programs without a sandbox: make command one, such as bwrap, docker or "
    "firejail, and put the program into args"
)
_NO_METADATA = "the server itself says where its authorization server is: remove it"

_FOREIGN: Mapping[str, Callable[[Node], _Found]] = {
    "auth": _auth,
    "authProviderType": _refused("only OAuth is known here: put a token into headers, as ${VAR}"),
    "autoApprove": _approved,
    "alwaysAllow": _approved,
    "bearer_token_env_var": _bearer_from,
    "dev": _refused("servers are not watched while they are developed: remove it"),
    "disabledTools": _renamed("tools", "deny"),
    "disabled_tools": _renamed("tools", "deny"),
    "enabled": _enabled,
    "enabledTools": _renamed("tools", "allow"),
    "enabled_tools": _renamed("tools", "allow"),
    "envFile": _renamed("env_file"),
    "env_http_headers": _headers_from,
    "env_vars": _renamed("inherit_env"),
    "excludeTools": _renamed("tools", "deny"),
    "gallery": _refused("it means nothing outside VS Code: remove it"),
    "headersHelper": _refused("no program is asked for headers: put them into headers, as ${VAR}"),
    "httpUrl": _http_url,
    "http_headers": _renamed("headers"),
    "icon": _refused("icons are not shown: remove it"),
    "includeTools": _renamed("tools", "allow"),
    "keep_alive": _refused("a server runs as long as kronk-agent does: remove it"),
    "oauth_resource": _refused("the resource is the server's url: remove it"),
    "protocolEra": _protocol_era,
    "sandbox": _refused(_NO_SANDBOX),
    "sandboxEnabled": _refused(_NO_SANDBOX),
    "scopes": lambda node: nest(("oauth", "scopes"), _scopes(node)),
    "startup_timeout_ms": _milliseconds("startup_timeout"),
    "startup_timeout_sec": _renamed("startup_timeout"),
    "tool_timeout_sec": _renamed("timeout"),
    "transport": _renamed("type"),
    "transportType": _renamed("type"),
}

FOREIGN_KEYS = frozenset(_FOREIGN)
"""Keys of other hosts that are known here, be it to be refused."""

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
    "redirectUri": "the browser comes back to this machine: give its port as callback_port",
    "tokenParamName": "tokens are sent in the Authorization header alone: remove it",
    "audiences": "a token is asked for the server's url: remove it",
}


def _oauth(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    ours: dict[str, Node] = {}
    for key, value in node.value.items():
        if key in _OAUTH_REFUSED:
            raise _Refused(f"{key}: {_OAUTH_REFUSED[key]}")
        if key == "enabled":
            if value.value is not True:
                raise _Refused("enabled: OAuth is used only where a server wants it: remove oauth")
            continue
        own = _OAUTH_RENAMED.get(key, key)
        if own in ours:
            raise _Refused(f"{key} is {own}, which is there too: remove one of the two")
        ours[own] = _scopes(value) if own == "scopes" else value
    return replace(node, value=ours)


def _scopes(node: Node) -> Node:
    """Claude Code writes them as OAuth does, one text with spaces between."""
    if not isinstance(node.value, str):
        return node
    return Node([_instead(node, scope) for scope in node.value.split()], node.origin)


def _type(node: Node) -> Node:
    names = {"streamable-http", "streamable_http", "streamableHttp"}
    return _instead(node, "http") if node.value in names else node


_OURS: Mapping[str, Callable[[Node], Node]] = {"oauth": _oauth, "type": _type}
"""Keys we have too, whose values other hosts write differently."""


# --- values ----------------------------------------------------------------------------------


def _instead(node: Node, value: str | float) -> Node:
    """A single value that stands where the node stood."""
    return Node(value, node.origin, text=str(value))


def _variable(node: Node) -> str:
    name = node.value
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise _Refused("must name an environment variable")
    return f"${{{name}}}"
