"""What an entry of ``mcp_servers`` may say, in our words and in those of other hosts."""

# ruff: noqa: E501  # the tables have one case a line

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.mcp_server import McpServerConfig, Transport
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject

ENVIRON = {"TOKEN": "hunter2", "EMPTY": ""}


def loaded(file: Path, block: JsonObject) -> McpServerConfig:
    file.write_text(json.dumps({"mcp_servers": {"a": block}}))
    return load_config(file, environ=ENVIRON).mcp_servers["a"]


def told(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ=ENVIRON)
    return str(caught.value).replace(str(file), "config.yaml")


@pytest.mark.parametrize(
    ("server", "transport"),
    [
        ({"command": "x"}, "stdio"),
        ({"command": "x", "type": "stdio"}, "stdio"),
        ({"url": "https://x/mcp"}, "http"),
        ({"url": "https://x/sse"}, "sse"),
        ({"url": "https://x/a/sse/?key=1"}, "sse"),
        ({"url": "https://x/sse", "type": "http"}, "http"),
        ({"url": "https://x/mcp", "type": "sse"}, "sse"),
        ({"url": "https://x/essence"}, "http"),
    ],
)
def test_the_transport_is_found_out_where_it_is_not_given(
    server: JsonObject, transport: Transport
) -> None:
    assert McpServerConfig.model_validate(server).transport == transport


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # --- Claude Desktop, Claude Code
        ({"command": "npx", "args": ["-y", "x"], "env": {"A": "b"}}, {"command": "npx", "args": ["-y", "x"], "env": {"A": "b"}}),
        ({"type": "streamable-http", "url": "http://x"}, {"type": "http", "url": "http://x"}),
        ({"type": "stdio", "command": "x", "env": {"A": "${TOKEN}", "B": "${NONE:-c}"}}, {"type": "stdio", "command": "x", "env": {"A": "hunter2", "B": "c"}}),
        ({"url": "http://x", "oauth": {"clientId": "i", "callbackPort": 8000, "scopes": "a b"}}, {"url": "http://x", "oauth": {"client_id": "i", "callback_port": 8000, "scopes": ["a", "b"]}}),
        # --- VS Code
        ({"command": "x", "envFile": "/x/.env", "args": ["${env:TOKEN}"]}, {"command": "x", "env_file": "/x/.env", "args": ["hunter2"]}),
        ({"command": "x", "args": ["${workspaceFolder}/a", "${userHome}/b", "$${env:X}"]}, {"command": "x", "args": [f"{Path.cwd()}/a", f"{Path.home()}/b", "${env:X}"]}),
        # --- Cursor
        ({"url": "http://x", "auth": {"CLIENT_ID": "i", "CLIENT_SECRET": "${TOKEN}", "scopes": ["a"]}}, {"url": "http://x", "oauth": {"client_id": "i", "client_secret": "hunter2", "scopes": ["a"]}}),
        # --- Cline, Roo, Kilo
        ({"command": "x", "disabled": True, "autoApprove": ["a", "b"], "timeout": 30}, {"command": "x", "disabled": True, "policy": {"a": "allow", "b": "allow", "*": "ask"}, "timeout": 30}),
        ({"command": "x", "alwaysAllow": []}, {"command": "x", "policy": {"*": "ask"}}),
        ({"command": "x", "alwaysAllow": ["*"]}, {"command": "x", "policy": {"*": "allow"}}),
        ({"url": "http://x", "transportType": "streamableHttp", "disabledTools": ["a"]}, {"url": "http://x", "type": "http", "tools": {"deny": ["a"]}}),
        # --- Gemini CLI
        ({"httpUrl": "http://x/sse", "trust": True}, {"url": "http://x/sse", "type": "http", "trust": True}),
        ({"command": "x", "includeTools": ["a"], "excludeTools": ["b"], "cwd": "/x", "description": "d"}, {"command": "x", "tools": {"allow": ["a"], "deny": ["b"]}, "cwd": "/x", "description": "d"}),
        ({"url": "http://x", "oauth": {"enabled": True, "clientId": "i", "clientSecret": "s"}}, {"url": "http://x", "oauth": {"client_id": "i", "client_secret": "s"}}),
        # --- Codex
        ({"url": "http://x", "bearer_token_env_var": "TOKEN", "http_headers": {"A": "b"}, "env_http_headers": {"C": "TOKEN"}}, {"url": "http://x", "headers": {"Authorization": "Bearer hunter2", "A": "b", "C": "hunter2"}}),
        ({"command": "x", "enabled": False, "required": True, "startup_timeout_sec": 10, "tool_timeout_sec": 60}, {"command": "x", "disabled": True, "required": True, "startup_timeout": 10, "timeout": 60}),
        ({"command": "x", "enabled": True, "enabled_tools": ["a"], "disabled_tools": ["b"], "env_vars": ["C"], "startup_timeout_ms": 1500}, {"command": "x", "tools": {"allow": ["a"], "deny": ["b"]}, "inherit_env": ["C"], "startup_timeout": 1.5}),
        ({"url": "http://x", "scopes": ["a"]}, {"url": "http://x", "oauth": {"scopes": ["a"]}}),
        # --- fastmcp, Inspector
        ({"url": "http://x", "transport": "sse", "auth": "oauth"}, {"url": "http://x", "type": "sse"}),
        ({"url": "http://x", "auth": "${TOKEN}"}, {"url": "http://x", "headers": {"Authorization": "Bearer hunter2"}}),
        ({"command": "x", "protocolEra": "modern"}, {"command": "x", "protocol": "2026-07-28"}),
        ({"command": "x", "protocolEra": "legacy"}, {"command": "x", "protocol": "legacy"}),
    ],
)  # fmt: skip
def test_blocks_of_other_hosts_are_taken_as_they_are(
    file: Path, theirs: JsonObject, ours: JsonObject
) -> None:
    assert loaded(file, theirs) == McpServerConfig.model_validate_json(json.dumps(ours))


def test_the_root_key_of_other_hosts_is_taken_too(file: Path) -> None:
    file.write_text('{"mcpServers": {"a": {"command": "x", "envFile": "y"}}}')

    servers = load_config(file, environ={}).mcp_servers

    assert servers == {"a": McpServerConfig(command="x", env_file=file.parent / "y")}


def test_paths_are_those_of_the_files_folder(file: Path) -> None:
    server = loaded(
        file, {"command": "./x", "cwd": ".", "env_file": ".env", "roots": ["r", "/abs"]}
    )
    signing: JsonObject = {
        "flow": "client_credentials",
        "client_id": "i",
        "issuer": "https://y",
        "private_key_file": "key.pem",
    }

    here = file.parent
    assert (server.command, server.cwd, server.env_file) == (str(here / "x"), here, here / ".env")
    assert server.roots == (here / "r", Path("/abs"))
    oauth = loaded(file, {"url": "http://x", "oauth": signing}).oauth
    assert oauth.private_key_file == here / "key.pem"


SANDBOX = "sandboxes are not supported: set command to a sandbox, such as bwrap, docker or firejail, and put the program into args"


@pytest.mark.parametrize(
    ("server", "message"),
    [
        # --- keys of other hosts that cannot be honoured
        ("headersHelper: ./x", "3: mcp_servers.a.headersHelper: not supported: put the headers into headers, as ${VAR}"),
        ("sandboxEnabled: true", f"3: mcp_servers.a.sandboxEnabled: {SANDBOX}"),
        ("sandbox: {}", f"3: mcp_servers.a.sandbox: {SANDBOX}"),
        ("dev: {watch: x}", "3: mcp_servers.a.dev: development mode is not supported: remove it"),
        ("oauth: {authServerMetadataUrl: http://x}", "3: mcp_servers.a.oauth: authServerMetadataUrl: the authorization server is discovered from the server: remove it"),
        ("oauth: {enabled: false}", "3: mcp_servers.a.oauth: enabled: OAuth is used only if a server requires it: remove oauth"),
        ("oauth: {client_id: x, clientId: y}", "3: mcp_servers.a.oauth: clientId is the same as client_id, which is also given: remove one"),
        ("authProviderType: google_credentials", "3: mcp_servers.a.authProviderType: only OAuth is supported: put a token into headers, as ${VAR}"),
        ("env: {A: '${input:api-key}'}", "3: mcp_servers.a.env.A: ${input:api-key} is not supported: set an environment variable, such as API_KEY, and write ${API_KEY}"),
        # --- and that are written wrongly
        ("enabled: yes", "3: mcp_servers.a.enabled: must be true or false"),
        ("alwaysAllow: x", "3: mcp_servers.a.alwaysAllow: must be a list, such as [a, b]"),
        ("startup_timeout_ms: x", "3: mcp_servers.a.startup_timeout_ms: must be a number"),
        ("bearer_token_env_var: a-b", "3: mcp_servers.a.bearer_token_env_var: must name an environment variable"),
        ("env_http_headers: {A: 5}", "3: mcp_servers.a.env_http_headers: must name an environment variable"),
        ("env_http_headers: x", "3: mcp_servers.a.env_http_headers: must be a mapping, with 'key: value' lines"),
        ("auth: 5", "3: mcp_servers.a.auth: must be oauth, a token, or a mapping with CLIENT_ID"),
        ("protocolEra: old", "3: mcp_servers.a.protocol: must be 'auto', 'legacy' or '2026-07-28', not 'old'"),
        ("env_file: x\n    envFile: y", "4: mcp_servers.a.envFile: is the same as env_file, which is also given: remove one"),
        ("autoApprove: [[b]]", "3: mcp_servers.a.autoApprove: must be a list of names"),
        # --- our own
        ("timeout: 30000", "3: mcp_servers.a.timeout: must be at most 7200 seconds (some hosts use milliseconds; here the unit is seconds), not 30000"),
        ("type: http", "2: mcp_servers.a: type: stdio requires command, http and sse require url: remove or correct type"),
        ("type: websocket", "3: mcp_servers.a.type: must be 'stdio', 'http' or 'sse', not 'websocket'"),
        ("oauth: {}", "2: mcp_servers.a: oauth: supported only with url, not with command"),
        ("policy: {x: never}", "3: mcp_servers.a.policy.x: must be 'allow', 'ask' or 'deny', not 'never'"),
        ("elicitation: allow", "3: mcp_servers.a.elicitation: must be 'ask' or 'deny', not 'allow'"),
        ("max_output_tokens: 0", "3: mcp_servers.a.max_output_tokens: must be at least 1, not 0"),
        ("prefix: a b", "3: mcp_servers.a.prefix: a server's name is 1-32 of A-Z a-z 0-9 _ -, starting with a letter or digit, not 'a b'"),
        ("tools: [x]", "3: mcp_servers.a.tools: must be a mapping, with 'key: value' lines, not a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(file: Path, server: str, message: str) -> None:
    assert (
        told(file, f"mcp_servers:\n  a:\n    {server}\n    command: x") == f"config.yaml:{message}"
    )


@pytest.mark.parametrize(
    ("oauth", "message"),
    [
        ("{flow: client_credentials, client_id: x}", "client_credentials requires client_id and issuer"),
        ("{flow: client_credentials, client_id: x, issuer: 'https://y'}", "client_credentials requires client_secret or private_key_file"),
        ("{client_id: x, private_key_file: y}", "private_key_file: only with flow: client_credentials"),
        ("{client_secret: hunter2}", "client_secret and issuer require client_id"),
    ],
)  # fmt: skip
def test_the_parts_of_oauth_go_together(file: Path, oauth: str, message: str) -> None:
    text = f"mcp_servers:\n  a:\n    url: http://x\n    oauth: {oauth}"

    assert told(file, text) == f"config.yaml:4: mcp_servers.a.oauth: {message}"


def test_two_servers_cannot_have_the_same_prefix(file: Path) -> None:
    text = "mcp_servers:\n  a: {command: x}\n  b: {command: y, prefix: a}\n"

    assert told(file, text) == (
        "config.yaml:1: mcp_servers: a and b have the same tool prefix: change one of them"
    )


def test_the_root_key_cannot_be_there_twice(file: Path) -> None:
    assert told(file, "mcp_servers: {}\nmcpServers: {}") == (
        "config.yaml:2: mcpServers: is the same as mcp_servers, which is also given: merge the two"
    )
