"""A folder's ``.mcp.json`` starts nothing that the person did not agree to, and hangs nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kronk_agent.cli.app import app

DOOR = "consent: .mcp.json"


def server(*args: str, **more: object) -> str:
    entry = {"command": sys.executable, "args": ["-c", "open('was-here', 'w')", *args], **more}
    return json.dumps({"mcpServers": {"helper": entry}})


def edited(folder: Path) -> None:
    (folder / ".mcp.json").write_text(server("more"))


def edited_environment(folder: Path) -> None:
    (folder / ".mcp.json").write_text(server(env={"LD_PRELOAD": "./evil.so"}))


def edited_folder(folder: Path) -> None:
    (folder / ".mcp.json").write_text(server(cwd="/tmp"))


def turned_into_a_symlink(folder: Path) -> None:
    (folder / "evil.json").write_text(server("more"))
    (folder / ".mcp.json").unlink()
    (folder / ".mcp.json").symlink_to("evil.json")


def symlink_turned(folder: Path) -> None:
    (folder / "good.json").write_text(server())
    turned_into_a_symlink(folder)


def variable_default_edited(folder: Path) -> None:
    (folder / ".mcp.json").write_text(server("${NO_SUCH:-more}"))


def hidden_in_projects(folder: Path) -> None:
    projects = {str(folder): json.loads(server("more"))}
    (folder / ".mcp.json").write_text(json.dumps({"projects": projects}))


def two_of_a_name(folder: Path) -> None:
    entry = json.loads(server("more"))["mcpServers"]["helper"]
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"helper ": entry}}))


TRIES = [
    edited,
    edited_environment,
    edited_folder,
    turned_into_a_symlink,
    symlink_turned,
    variable_default_edited,
    hidden_in_projects,
    two_of_a_name,
]
"""Ways to have another program run once the person agreed to one."""

HANGS = {
    "[" * 100_000: "is nested too deeply",
    "// " + "x" * 1_000_000: "is not valid JSON; comments are supported only up to",
    '{"a": [' + "1," * 200_000 + "]}": "is not valid JSON; comments are supported only up to",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_folders: None) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "config.yaml").write_text("tools: []\n")
    (folder / ".mcp.json").write_text(server())
    return folder


def run(folder: Path, *arguments: str) -> str:
    config = str(folder.parent / "config.yaml")
    return CliRunner().invoke(app, ["--config", config, *arguments]).stderr


@pytest.mark.parametrize("change", TRIES, ids=lambda change: change.__name__)
def test_what_is_changed_after_consent_is_not_run(
    folder: Path, change: Callable[[Path], None]
) -> None:
    run(folder, "mcp", "approve", "helper", "--yes")
    change(folder)

    assert "which is not approved" in run(folder, "tools", "list")
    assert not (folder / "was-here").exists()


@pytest.mark.parametrize(("text", "words"), HANGS.items(), ids=range(len(HANGS)))
def test_a_hostile_file_is_refused_at_once(folder: Path, text: str, words: str) -> None:
    (folder / ".mcp.json").write_text(text)

    assert words in run(folder, "tools", "list")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_named_pipe_is_not_read(folder: Path) -> None:
    (folder / ".mcp.json").unlink()
    os.mkfifo(folder / ".mcp.json")

    assert run(folder, "tools", "list") == ""
