"""Environment variables that are not set, in the entries of MCP servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.config.loading import load_config, read_config
from kronk_agent.errors import ConfigError

GOOD = "  good: {command: x, env: {KEY: '${SET}'}}\n"
UNSET = "the environment variable NOT_SET is not set: set it, or write ${NOT_SET:-default}"


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("{command: x, env: {KEY: '${NOT_SET}'}}", "env.KEY"),
        ("{command: '${NOT_SET}'}", "command"),
        ("{command: x, args: [a, 'b-${NOT_SET}']}", "args[1]"),
        ("{command: x, timeout: '${NOT_SET}'}", "timeout"),
        ("{url: '${NOT_SET}'}", "url"),
        ("{url: 'https://${NOT_SET}/mcp'}", "url"),
        (
            "{url: 'https://x', headers: {Authorization: 'Bearer ${NOT_SET}'}}",
            "headers.Authorization",
        ),
        ("{url: 'https://x', type: '${NOT_SET}'}", "type"),
    ],
)
def test_it_makes_that_server_unusable_and_no_other(tmp_path: Path, entry: str, key: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"mcp_servers:\n  bad: {entry}\n{GOOD}")

    servers = load_config(file, environ={"SET": "1"}).mcp_servers

    assert servers["bad"].problem == f"{file}:2: mcp_servers.bad.{key}: {UNSET}"
    assert (servers["good"].problem, servers["good"].env) == (None, {"KEY": "1"})


def test_all_of_them_are_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("mcp_servers:\n  bad: {command: '${NOT_SET}', args: ['${NOR_THIS}']}\n" + GOOD)

    loaded = read_config(file, environ={"SET": "1"})

    assert [mistake.key for mistake in loaded.unset] == [
        "mcp_servers.bad.command",
        "mcp_servers.bad.args[0]",
    ]
    assert str(loaded.config.mcp_servers["bad"].problem).count("\n") == 1


def test_another_mistake_in_the_same_file_is_still_one(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("mcp_servers:\n  bad: {url: '${NOT_SET}'}\nagent: {max_steps: 0}\n")

    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={})
    assert str(caught.value) == f"{file}:3: agent.max_steps: must be at least 1, not 0"


def test_a_file_whose_servers_are_no_mapping_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("mcp_servers: ['${NOT_SET}']\n")

    with pytest.raises(ConfigError, match="must be a mapping"):
        load_config(file, environ={})
