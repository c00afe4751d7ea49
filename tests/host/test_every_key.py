"""No key of a server is accepted and ignored: each one changes something that can be seen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from host.support import SERVERS, call, hosting, serving, states, text_of, tools, unused_port
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError, ToolError
from kronk_agent.host import Host
from kronk_agent.host.oauth.flow import Logins, authentication
from kronk_agent.host.oauth.token_store import EncryptedFiles
from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.host.tools.pinning import PinnedTools
from kronk_agent.messages import JsonObject
from kronk_agent.model import ChatModel
from kronk_agent.testing import ScriptedModel
from kronk_agent.tools import instructions_of

TOLD = str(SERVERS / "told.py")
IN_COMMAND_LINE = {"description"}
"""Shown by ``mcp list``: tests/cli/test_mcp.py."""


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    port = unused_port()
    with serving(port, TOLD, "http"):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def sse_url() -> Iterator[str]:
    port = unused_port()
    with serving(port, TOLD, "sse"):
        yield f"http://127.0.0.1:{port}/sse"


@pytest.fixture
def servers(tmp_path: Path, http_url: str, sse_url: str) -> dict[str, JsonObject]:
    """One server for each key or two; most of them are the same one at the other end."""
    (tmp_path / ".env").write_text("FROM_FILE=file\n")
    return {
        "program": {
            "command": sys.executable,
            "args": [TOLD, "an argument"],
            "env": {"FROM_ENV": "env"},
            "env_file": str(tmp_path / ".env"),
            "inherit_env": ["INHERIT*"],
            "cwd": str(tmp_path),
        },
        "headers": {"url": http_url, "headers": {"X-Told": "by a header"}},
        "sse": {"url": sse_url, "type": "sse"},
        "not_sse": {"url": sse_url, "type": "http"},
        "legacy": {"url": http_url, "protocol": "legacy"},
        "modern": {"url": http_url, "protocol": "2026-07-28"},
        "disabled": {"url": http_url, "disabled": True},
        "required": {"command": "no-such-program", "required": True},
        "late": {
            "command": sys.executable,
            "args": ["-c", "open(0).read()"],
            "startup_timeout": 0.2,
        },
        "slow": {"url": http_url, "timeout": 0.2},
        "prefix": {"url": http_url, "prefix": "other"},
        "tools": {"url": http_url, "tools": {"allow": ["t*"], "deny": ["travel"]}},
        "policy": {"url": http_url, "policy": {"told": "ask", "w*": "deny"}},
        "cut": {"url": http_url, "max_output_tokens": 100},
        "terse": {"url": http_url, "max_instructions_tokens": 2},
        "doubted": {"url": http_url},
        "trusted": {"url": http_url, "trust": True},
        "roots": {"url": http_url, "roots": [str(tmp_path)]},
        "free": {"url": http_url, "sampling": "allow"},
        "bound": {"url": http_url, "sampling": "deny", "elicitation": "deny"},
        "oauth": {
            "url": "http://127.0.0.1:1/mcp",
            "oauth": {
                "flow": "client_credentials",
                "client_id": "x",
                "private_key_file": str(tmp_path / "no-key.pem"),
                "issuer": "http://127.0.0.1:1",
            },
        },
    }


async def model() -> ChatModel:
    return ScriptedModel(["Short."])


@pytest.mark.timeout(120)
async def test_every_key_does_something(
    servers: dict[str, JsonObject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "inherited")
    configs = {name: McpServerConfig.model_validate(server) for name, server in servers.items()}
    pins = tmp_path / "pins"  # where the host keeps them
    for name in ("doubted", "trusted"):
        older = ToolDefinition("told", "Tell nothing.", {"type": "object"})
        PinnedTools(pins / f"{name}.json", configs[name]).review([older])
    logins = Logins(EncryptedFiles(tmp_path / "logins", tmp_path / "key", None))

    with anyio.fail_after(seconds(100)):
        async with hosting(
            configs,
            tmp_path,
            get_model=model,
            authenticate=partial(authentication, logins=logins),
        ) as host:
            await host.wait_ready()
            await see_what_each_does(host, tmp_path)

    used = {key for server in servers.values() for key in server}
    assert used | IN_COMMAND_LINE == set(McpServerConfig.model_fields)


async def see_what_each_does(host: Host, folder: Path) -> None:
    program = await told(host, "program")
    environment = program["environment"]
    assert isinstance(environment, dict)
    assert (program["arguments"], program["folder"]) == (["an argument"], str(folder))
    added = {"FROM_ENV": "env", "FROM_FILE": "file", "INHERITED": "inherited"}
    assert {name: environment.get(name) for name in added} == added
    assert "PYTEST_CURRENT_TEST" not in environment

    by_header = (await told(host, "headers"))["headers"]
    assert isinstance(by_header, dict)
    assert by_header["x-told"] == "by a header"
    assert (await told(host, "legacy"))["protocol"] == "2025-11-25"
    assert (await told(host, "modern"))["protocol"] == "2026-07-28"

    state = states(host)
    assert (state["sse"], state["not_sse"], state["disabled"]) == ("ready", "failed", "disabled")
    with pytest.raises(ServerUnavailableError, match="'no-such-program' was not found"):
        await host.wait_required()
    errors = {status.name: status.error or "" for status in host.statuses()}
    assert "did not list its tools within 0.2 s" in errors["late"]
    assert "cannot read private_key_file" in errors["oauth"]
    with pytest.raises(ToolError, match="no answer and no progress within"):
        await call(host, "slow__wait")

    names = {name for name in tools(host) if name.startswith(("other__told", "tools__"))}
    assert names == {"other__told", "tools__told"}
    assert "policy__wait" not in tools(host)
    assert "policy__write_note" not in tools(host)
    with pytest.raises(ToolError, match="did not agree to this call of told"):
        await call(host, "policy__told")
    assert len(text_of(await call(host, "cut__essay"))) < 2000
    said = {toolset.name: instructions_of(toolset) for toolset in host.toolsets}
    assert said["cut"].endswith("\n> Ask first, and travel afterwards.")
    assert said["terse"].endswith("\n> Ask firs\n> […]")

    quarantined = {status.name: status.quarantined for status in host.statuses()}
    assert (quarantined["doubted"], quarantined["trusted"]) == (("told",), ())
    assert text_of(await call(host, "roots__folders")) == folder.as_uri()
    assert "sampling" in text_of(await call(host, "free__capabilities"))
    assert text_of(await call(host, "bound__capabilities")) == "{}"


async def told(host: Host, server: str) -> JsonObject:
    output = await call(host, f"{server}__told")
    assert output.structured is not None
    return output.structured
