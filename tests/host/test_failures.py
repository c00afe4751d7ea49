"""What a person reads of a server that does not start: one line, its name, and what would help."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest
from host.support import SERVERS, error_of, faulty, hosting
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig

PYTHON = repr(sys.executable)
LEGACY = "or set its protocol to legacy if it is old"


async def _failure(server: McpServerConfig, log_dir: Path) -> str:
    with anyio.fail_after(seconds(10)):
        async with hosting({"x": server}, log_dir) as host:
            await host.wait_ready()
            (status,) = host.statuses()
            return error_of(status).removeprefix("MCP server 'x' ")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (
            McpServerConfig(command="no-such-program"),
            "cannot start: 'no-such-program' was not found: "
            "install it, or give its full path in mcp_servers.x.command",
        ),
        (
            McpServerConfig(command=str(SERVERS)),
            f"cannot start '{SERVERS}': Permission denied: correct mcp_servers.x.command",
        ),
        (
            McpServerConfig(command="nul\0"),
            "cannot be used (embedded null byte): "
            "update it, or try another mcp_servers.x.protocol (auto, legacy, 2026-07-28)",
        ),
        (
            faulty("healthy", cwd="/no/such/folder"),
            "cannot start in /no/such/folder, which is not a directory: correct mcp_servers.x.cwd",
        ),
        (
            faulty("silent", startup_timeout=0.2),
            "did not list its tools within 0.2 s: "
            f"raise mcp_servers.x.startup_timeout if it is slow, {LEGACY}",
        ),
        (
            faulty("talks_only", startup_timeout=3),
            "did not list its tools within 3 s and printed 'Hello! I am no MCP server.' "
            f"where MCP belongs: raise mcp_servers.x.startup_timeout if it is slow, {LEGACY}",
        ),
        (
            faulty("old_fashioned"),
            "cannot be used (Unsupported protocol version from the server: 1999-12-31): "
            "update it, or try another mcp_servers.x.protocol (auto, legacy, 2026-07-28)",
        ),
        (
            faulty("healthy", protocol="2026-07-28"),
            "answered with something that is not MCP (cacheScope: Field required): "
            "update it, or try another mcp_servers.x.protocol (auto, legacy, 2026-07-28)",
        ),
    ],
)
async def test_a_program_that_does_not_start(
    tmp_path: Path, server: McpServerConfig, said: str
) -> None:
    assert await _failure(server, tmp_path) == said


async def test_a_program_that_exits_has_its_last_words_without_its_secrets(tmp_path: Path) -> None:
    server = faulty("exits", env={"TOKEN": "hunter2-hunter2"})

    assert await _failure(server, tmp_path) == (
        "exited before it listed its tools (no licence for token ***): "
        f"run {PYTHON} by hand to see why; its output is in {tmp_path / 'x.log'}"
    )


async def test_last_words_are_those_of_the_last_start(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("words of last week\n")

    said = await _failure(faulty("exits_quietly"), tmp_path)

    assert said.startswith("exited before it listed its tools: run ")


async def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = await _failure(faulty("healthy"), tmp_path / "file")

    assert said == f"cannot write the log {tmp_path / 'file' / 'x.log'}: File exists"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/401",
            "refused us at URL (HTTP 401): sign in with `kronk-agent mcp login x`, "
            "or give a valid token in mcp_servers.x.headers",
        ),
        ("/403", "refused us at URL (HTTP 403): give a valid token in mcp_servers.x.headers"),
        ("/404", "is not at URL (HTTP 404): correct mcp_servers.x.url, which often ends in /mcp"),
        ("/405", "is not at URL (HTTP 405): correct mcp_servers.x.url, which often ends in /mcp"),
        ("/503", "failed at URL (HTTP 503): look at its own log"),
        (
            "/200",
            "answered with something that is not MCP (text/html, 'Hello!') at URL: "
            "correct mcp_servers.x.url, or try another mcp_servers.x.protocol",
        ),
        (
            "/hang",
            "did not list its tools within 0.3 s: "
            f"raise mcp_servers.x.startup_timeout if it is slow, {LEGACY}",
        ),
    ],
)
async def test_a_url_where_there_is_no_server(
    tmp_path: Path, odd_url: str, path: str, said: str
) -> None:
    timeout = 0.3 if path == "/hang" else seconds(10)
    server = McpServerConfig(
        url=f"{odd_url}{path}?key=secret-key",
        headers={"Authorization": "Bearer secret-token"},
        startup_timeout=timeout,
    )

    assert await _failure(server, tmp_path) == said.replace("URL", odd_url + path)


async def test_a_url_that_leads_nowhere(tmp_path: Path) -> None:
    server = McpServerConfig(url="http://me:secret-password@127.0.0.1:9/mcp")

    assert await _failure(server, tmp_path) == (
        "cannot be reached at http://127.0.0.1:9/mcp (All connection attempts failed): "
        "start it, or correct mcp_servers.x.url"
    )
